"""Installs pinned, hashed packages into an environment: with uv, and with pip where uv can't.

Standard library only: it runs before anything is installed.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class SetupFailed(Exception):
    """The set-up can't go on; the text says what to do."""


@contextmanager
def step(title):
    """Say what is going on; what takes long says how long it took."""
    print(f"{title} ...", flush=True)
    began = time.monotonic()
    yield
    if time.monotonic() - began > 2:
        print(f"{title}: done in {time.monotonic() - began:.0f} s", flush=True)


def environment(folder: Path) -> Path:
    """Make the virtual environment, unless it is there and works; return its Python."""
    python = folder / "bin" / "python"
    if python.exists() and _works(python):
        return python
    with step(f"Make the environment {_short(folder)}"):
        made = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(folder)], capture_output=True, text=True, check=False
        )
    if made.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupFailed(
            f"Python could not make {folder}: {(made.stdout + made.stderr).strip()}\n"
            "On Debian and Ubuntu its venv is a package of its own: apt-get install python3-venv"
        )
    return python


def _works(python: Path) -> bool:
    # An interrupted set-up, or a system Python that was upgraded or removed, leaves one that doesn't.
    check = [str(python), "-c", f"import pip, sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def install(python: Path, requirements: Path) -> None:
    """Make the environment hold exactly these packages."""
    with step(f"Install the packages of {requirements.name}"):
        if not _with_uv(python, requirements):
            print("uv could not; pip takes a few minutes ...", flush=True)
            install_with_pip(python, requirements)


def install_with_pip(python: Path, requirements: Path) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    if subprocess.run([*command, "-r", str(requirements)], check=False).returncode != 0:
        raise SetupFailed(
            f"The packages of {requirements.name} could not be installed (see above). "
            "They come from the package index that pip is set up for on this machine."
        )


def _with_uv(python: Path, requirements: Path) -> bool:
    uv = python.parent / "uv"
    if not uv.exists():
        pinned = ROOT / "requirements-uv.txt"
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        if subprocess.run([*command, "-r", str(pinned)], capture_output=True, check=False).returncode != 0:
            return False
    command = [str(uv), "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(requirements)]
    env = {**index_settings(python), **os.environ}
    return subprocess.run(command, env=env, check=False).returncode == 0


def index_settings(python: Path) -> dict:
    """Return what pip is told about package indexes on this machine, in uv's words: uv reads no pip.conf."""
    listed = subprocess.run([str(python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    pip = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        pip[name.split(".")[-1].lower()] = value.strip("'\"").replace("\\n", " ")
    words = {
        "UV_DEFAULT_INDEX": pip.get("index-url"),
        "UV_INDEX": pip.get("extra-index-url"),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "UV_NO_INDEX": "1" if pip.get("no-index", "").lower() in ("1", "true", "yes", "on") else None,
        "UV_INSECURE_HOST": pip.get("trusted-host"),
        "UV_HTTP_TIMEOUT": pip.get("default-timeout") or pip.get("timeout"),
        "SSL_CERT_FILE": pip.get("cert"),
        # As pip: any index may have the version. Hashes say which file is meant.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    return {name: value for name, value in words.items() if value}


def _short(path: Path) -> str:
    return os.path.relpath(path, ROOT)
