"""NHS.UK frontend without its brand."""

from pathlib import Path

import pytest

from tools import assets

CSS = (
    "@font-face{font-family:Frutiger W01;src:url(https://assets.nhs.uk/fonts/a.woff2)}"
    "body{font-family:Frutiger W01,arial,sans-serif;color:#005EB8;background:#007f3b}"
    "a{background:url(/assets/images/nhsuk-icon-cross.svg)}"
    "/*# sourceMappingURL=nhsuk-frontend.min.css.map */"
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    source = tmp_path / "dist"
    (source / "assets/images").mkdir(parents=True)
    (source / "nhsuk-frontend.min.css").write_text(CSS)
    (source / "nhsuk-frontend.min.js").write_text("export{};//# sourceMappingURL=nhsuk-frontend.min.js.map\n")
    for name in ("nhsuk-icon-cross", "nhsuk-icon-mask", "favicon"):
        (source / f"assets/images/{name}.svg").write_text('<svg fill="#005eb8"/>')
    return source


def test_the_stylesheet_loses_typeface_brand_colours_and_foreign_addresses():
    assert assets.restyle(CSS) == (
        "body{font-family:arial,sans-serif;color:#0f5670;background:#17694a}"
        "a{background:url(images/nhsuk-icon-cross.svg)}"
    )


def test_icons_are_kept_and_logos_are_not(package: Path, tmp_path: Path):
    assets.build(package, tmp_path / "made")
    assert [path.name for path in (tmp_path / "made/images").iterdir()] == ["nhsuk-icon-cross.svg"]
    assert assets.leftovers(tmp_path / "made") == []


@pytest.mark.parametrize(
    "trace", ["a{color:#005EB8}", "a{color:rgba(0, 94, 184, .5)}", "a{font:1em FRUTIGER}", "url(//assets.nhs.uk/x)"]
)
def test_each_trace_of_the_brand_is_found(package: Path, tmp_path: Path, trace: str):
    assets.build(package, tmp_path / "made")
    style = tmp_path / "made/nhsuk-frontend.min.css"
    style.write_text(style.read_text() + trace)
    assert len(assets.leftovers(tmp_path / "made")) == 1


def test_what_was_fetched_here_wears_no_brand():
    if not assets.TARGET.exists():
        pytest.skip("make setup has not fetched the front-end assets yet")
    assert assets.leftovers(assets.TARGET) == []
    assert len(list((assets.TARGET / "images").glob("*.svg"))) >= 15


def test_the_lock_file_pins_by_hash_and_names_no_address():
    lock = (assets.SOURCE / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in lock
    assert "resolved" not in lock
    assert "://" not in lock
