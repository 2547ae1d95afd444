"""The sample data: 64,828 resources of 185 synthetic patients, and HL7's own examples."""

import gzip
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from records.display import fhir
from tests.records.display.readers import read, strings

DATA = Path(os.environ.get("FHIR_DATA") or Path(__file__).parents[4] / "shared" / "fhir")
if not DATA.exists():  # the work tree may stand one level deeper
    DATA = Path(__file__).parents[5] / "shared" / "fhir"

# So that the run takes seconds: types that come by the thousand are alike, and the chart draws no claims.
EVERY = {"Observation": 8, "Encounter": 2, "Immunization": 2, "Procedure": 2, "Claim": 50, "ExplanationOfBenefit": 50}

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="sample data is not at hand (FHIR_DATA)")


def lines() -> Iterator[bytes]:
    for path in sorted((DATA / "synthea").glob("*.ndjson.gz")):
        with gzip.open(path) as file:
            yield from islice(file, 0, None, EVERY.get(path.name.split(".")[0], 1))


def test_every_synthea_resource_can_be_drawn():
    count = 0
    for line in lines():
        resource = fhir.load(line)
        assert resource
        for text in strings(read(resource)):
            assert "None" not in text.split() or b"None" in line, resource["id"]
        count += 1
    assert count > 17_000


@pytest.mark.parametrize("folder", ["r4", "us-core"])
def test_every_hl7_example_can_be_drawn(folder):
    paths = sorted((DATA / "hl7-examples" / folder).glob("*.json"))
    assert len(paths) > 200
    for path in paths:
        resource = fhir.load(path.read_bytes())
        assert resource, path.name
        entries = [fhir.mapping(entry.get("resource")) for entry in fhir.mappings(resource.get("entry"))]
        for held in (resource, *entries):
            assert not [text for text in strings(read(held)) if text == "None"], path.name
