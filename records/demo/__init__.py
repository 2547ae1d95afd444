"""Synthetic patients of the Harbour Hospital Group: FHIR R4, the same bytes for the same seed.

    python -m records.demo --patients 48 --seed 1 --today 2026-11-23 --out DIR

Nobody here is real: every resource is tagged HTEST, record numbers begin with 90, 91 or 92, national
numbers with 999, telephone numbers with 01632 960. Standard library only, no clock, no Django.
"""

from .cast import CAST, cast
from .places import PARTNER_SYSTEM, PARTNERS, SOURCES, Source
from .writer import charts, generate, write_bundles, write_ndjson

__all__ = [
    "CAST",
    "PARTNERS",
    "PARTNER_SYSTEM",
    "SOURCES",
    "Source",
    "cast",
    "charts",
    "generate",
    "write_bundles",
    "write_ndjson",
]
