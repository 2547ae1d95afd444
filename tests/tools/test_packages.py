"""The set-up gets by on what the machine is set up for."""

import subprocess
import sys
from pathlib import Path

from tools import packages

ROOT = Path(__file__).parents[2]


def test_uv_is_told_what_pip_is_told(monkeypatch, tmp_path: Path):
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://one.example/simple\nextra-index-url =\n  https://two.example/simple\n"
        "  https://three.example/simple\nfind-links = /a /b\ncert = /ca.pem\n"
    )
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_TRUSTED_HOST", "one.example")
    found = packages.index_settings(Path(sys.executable))
    assert found["UV_DEFAULT_INDEX"] == "https://one.example/simple"
    assert found["UV_INDEX"].split() == ["https://two.example/simple", "https://three.example/simple"]
    assert found["UV_FIND_LINKS"] == "/a,/b"
    assert found["UV_INSECURE_HOST"] == "one.example"
    assert found["SSL_CERT_FILE"] == "/ca.pem"


def test_no_file_names_a_package_registry():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    registries = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org")
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.suffix in {".txt", ".in", ".json", ".toml", ".py", ".cfg", ".md", ""} and path.is_file():
            text = path.read_text(errors="ignore")
            assert not any(registry in text for registry in registries), name


def test_requirements_are_hashed():
    for path in (*ROOT.glob("requirements*.txt"), ROOT / "tools/frontend/requirements-node.txt"):
        pins = [line for line in path.read_text().splitlines() if "==" in line and not line.lstrip().startswith("#")]
        hashes = path.read_text().count("--hash=sha256:")
        assert pins, path
        assert hashes >= len(pins), path
