"""The texts of many resources, of which few are in memory at a time: there may be millions, and one may have 16 MB."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.db.models import F, Func, IntegerField, QuerySet

from records.models import Resource

SMALL = 16_384
"""Bytes of a text of which a thousand may be in memory."""


def one_by_one(rows: QuerySet[Resource], *columns: str) -> Iterator[tuple[Any, ...]]:
    """These columns of `rows`, the text (`raw`) among them, in no order."""
    size = Func(F("raw"), function="octet_length", output_field=IntegerField())  # without unpacking it
    texts = rows.alias(size=size).values_list(*columns)
    return chain(texts.filter(size__lte=SMALL).iterator(1_000), texts.filter(size__gt=SMALL).iterator(1))
