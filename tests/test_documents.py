"""The documents lead somewhere, and name every setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from clinicportal.settings import BASE_DIR, Environment

DOCUMENTS = [*BASE_DIR.glob("docs/**/*.md"), *BASE_DIR.glob("*.md"), BASE_DIR / "devtenant" / "README.md"]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """What a heading is called in an address, as GitHub and others make it."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(BASE_DIR)))
def test_every_link_in_a_document_leads_somewhere(document):
    lost = []
    for link in LINK.findall(FENCE.sub("", document.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_every_test_that_a_document_names_exists():
    named = {name for document in DOCUMENTS for name in re.findall(r"`(test_\w+)`", document.read_text())}
    sources = "".join(path.read_text() for path in (BASE_DIR / "tests").rglob("test_*.py"))
    assert {name for name in named if f"def {name}(" not in sources} == set()
    assert len(named) > 60


def test_every_file_that_a_document_names_exists():
    """As a path in backticks below one of our folders; {a,b} stands for two, … for any."""
    ours = "|".join(sorted(folder.name for folder in BASE_DIR.iterdir() if folder.is_dir() and folder.name[0] != "."))
    named = {
        (str(document.relative_to(BASE_DIR)), path)
        for document in DOCUMENTS
        for path in re.findall(rf"`((?:{ours})/[\w./-]*\w/?)`", document.read_text())
    }
    assert len(named) > 60
    assert {(document, path) for document, path in named if not is_there(path)} == set()


def is_there(path: str) -> bool:
    """Whether it is a file or folder of the repository, or what set-up puts there."""
    return (BASE_DIR / path).exists() or path.startswith("clinicportal/static/vendor/")


def settings_in(table: str) -> set[str]:
    return {name for name in re.findall(r"`([A-Z_]+)`", table) if name == "PORT" or "_" in name}


FIELDS = {name.upper() for name in Environment.model_fields}


def test_operations_names_every_setting_and_no_other():
    table = (BASE_DIR / "docs" / "operations.md").read_text().split("## Settings")[1].split("\n## ")[0]
    for_development = {"PORT", "TENANT_PORT"}
    read_elsewhere = {"CLINICPORTAL_LOG_LEVEL", "DATABASE_SUPERUSER_URL", "DATABASE_BACKUP_URL"}
    assert settings_in(table) - read_elsewhere == FIELDS - for_development


def test_the_readme_names_every_setting_and_no_other():
    lines = (BASE_DIR / "README.md").read_text().splitlines()
    named = settings_in("\n".join(line for line in lines if line.startswith("| `")))
    read_elsewhere = {"CLINICPORTAL_LOG_LEVEL", "CLINICPORTAL_POSTGRES_PORT", "FHIR_DATA"}
    assert named - read_elsewhere == FIELDS


def test_every_target_of_make_that_a_document_names_exists():
    targets = set(re.findall(r"^([a-z-]+):.*##", (BASE_DIR / "Makefile").read_text(), re.MULTILINE))
    make = re.compile(r"(?:`|^)make ([a-z-]+)", re.MULTILINE)
    named = {name for path in DOCUMENTS for name in make.findall(path.read_text())}
    assert named - targets == set()
    assert named


def test_every_command_that_a_document_names_exists():
    lines = [line for path in DOCUMENTS for line in path.read_text().splitlines() if "**Not yet" not in line]
    named = {name for line in lines for name in re.findall(r"manage\.py ([a-z_]+)", line)}
    assert named - set(get_commands()) == set()
    assert len(named) > 6


def test_every_decision_is_in_the_list():
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (BASE_DIR / "docs/decisions/README.md").read_text())
    assert listed == sorted(path.name for path in (BASE_DIR / "docs/decisions").glob("0*.md"))
