"""Where the entries of a Bundle are: in windows of any width the same, and with few pages of a large file in memory."""

from __future__ import annotations

import mmap
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.importing import bundles
from records.importing.bundles import read_bundle

FIRST = b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"a"}},'
LAST = b',{"resource":{"resourceType":"Patient","id":"z"}}],"total":3}'
MEGABYTE = 2**20

texts = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b" ", b"\n", b"1", b'"entry":[', b'"a\\"{"', FIRST]
    ),
    max_size=40,
).map(b"".join)


def found_in(text: bytes, *, exact: bool):
    bundle = bundles.Bundle(text, exact=exact)
    return bundle.parts, list(bundle.entries), bundle.broken, bundle.end


@given(middle=texts, width=st.integers(2, 9), exact=st.booleans())
def test_the_width_of_the_window_changes_nothing(middle, width, exact):
    text = FIRST + middle + LAST
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "WINDOW", len(text) + 2)
        whole = found_in(text, exact=exact)
        patch.setattr(bundles, "WINDOW", width)
        assert found_in(text, exact=exact) == whole


@pytest.mark.parametrize(
    ("before", "unit", "behind"),
    [
        (b'{"resource":{"resourceType":"Binary","data":"', b"QUJD", b'"}}'),
        (b'{"resource":{"resourceType":"Binary","data":"}', b"\\\\\\n{", b'"}}'),
        (b'{"resource":{"resourceType":"Binary","data":[0', b",       1", b"]}}"),
        (b'{"resource":', b" " * 64, b"{}}"),
        (b'{"resource":', b"12345678", b"}"),
        (b'{"', b"QUJD", b'":1}'),
    ],
    ids=["string", "escapes", "numbers", "spaces", "number", "name"],
)
def test_of_an_entry_larger_than_memory_few_pages_are_in_memory(before, unit, behind):
    with tempfile.TemporaryFile() as file:
        file.write(FIRST + before)
        for _ in range(64):
            file.write(unit * (MEGABYTE // len(unit)))
        file.write(behind + LAST)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text, pytest.MonkeyPatch.context() as patch:
            seen = []
            patch.setattr(bundles, "let_go", watched(bundles.let_go, seen, len(text)))
            bundle = read_bundle(text)
            seen.append(in_memory(len(text)))
    assert bundle.broken is None
    assert len(bundle.entries) == 3
    assert max(seen) <= 2 * bundles.WINDOW + MEGABYTE


def watched(let_go, seen, length):
    def and_looked(text):
        seen.append(in_memory(length))
        let_go(text)

    return and_looked


def in_memory(length: int) -> int:
    """Bytes in memory of our mapping of a file of `length`."""
    pages = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
    for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE):
        if re.search(rf"^Size:\s+{pages // 1024} kB", mapping, re.MULTILINE):
            return int(re.search(r"Rss:\s+(\d+)", mapping)[1]) * 1024
    raise AssertionError("no such mapping")
