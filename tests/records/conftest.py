"""What the tests of the import share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from records.models import Source
from tests.records.feeds import Feed


@pytest.fixture
def feed(tmp_path: Path, source: Source) -> Feed:
    return Feed(tmp_path / "feed", source)


@pytest.fixture
def shared() -> Path:
    """The folder with FHIR data that nobody in this project wrote; tests that need it are skipped without it."""
    here = Path(os.environ.get("CLINICPORTAL_SHARED") or Path(__file__).parents[3] / "shared")
    if not (here / "fhir").is_dir():
        pytest.skip("no FHIR sample data: set CLINICPORTAL_SHARED to the folder that has fhir/")
    return here / "fhir"
