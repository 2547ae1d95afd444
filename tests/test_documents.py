"""The documents lead somewhere, and name every setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clinicportal.settings import BASE_DIR, Environment

DOCUMENTS = [*BASE_DIR.glob("docs/**/*.md"), *(BASE_DIR / name for name in ("CONTRIBUTING.md", "SECURITY.md"))]
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


def test_operations_names_every_setting_and_no_other():
    table = (BASE_DIR / "docs" / "operations.md").read_text().split("## Settings")[1].split("\n## ")[0]
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", table))
    for_development = {"PORT", "TENANT_PORT"}
    read_elsewhere = {"CLINICPORTAL_LOG_LEVEL", "DATABASE_SUPERUSER_URL", "DATABASE_BACKUP_URL"}
    assert named - read_elsewhere == {name.upper() for name in Environment.model_fields} - for_development


def test_every_decision_is_in_the_list():
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (BASE_DIR / "docs/decisions/README.md").read_text())
    assert listed == sorted(path.name for path in (BASE_DIR / "docs/decisions").glob("0*.md"))
