"""The entries of a Bundle as slices of its text, without building the whole document in memory.

Texts are kept as received, so entries are found by their brackets, not by parsing and writing back:
numbers keep their digits, keys their order.

Brackets are first counted as if no string held an unbalanced one. That is three times as fast and cannot go
wrong unnoticed: a slice that starts with a bracket and is JSON has the one possible end. When one is not,
`read_bundle` counts again and skips strings.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from mmap import MADV_DONTNEED, mmap
from typing import NamedTuple

import orjson

from records.importing.parsing import MAX_BYTES, STRING

Text = bytes | mmap

SPACE = re.compile(rb"[ \t\r\n]*+")
SCALAR = re.compile(rb"[^\s,}\]]*+")
BRACKET = re.compile(rb"[{}\[\]]")
INSIDE_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
OUTSIDE_STRING = re.compile(rb'[^"{}\[\]]*+')
# All strings up to the next bracket in one match: brackets inside of strings never count.
TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]*+' + STRING + rb')*+[^"{}\[\]]*+([{}\[\]])', re.DOTALL)

QUOTE = ord('"')
OPEN = frozenset(b"{[")
BRACKETS = (b"{", b"}", b"[", b"]", b"")
WINDOW = 2 * 2**20
"""Bytes of a file that are looked at before their pages leave our memory."""
NAME = 100
"""Bytes of a member's name that are looked at: FHIR's have 30 or so."""


class Broken(Exception):
    """The text ends or goes wrong inside of the value that starts at `position`."""

    def __init__(self, position: int) -> None:
        super().__init__(f"at byte {position + 1}")
        self.position = position


class Span(NamedTuple):
    start: int
    end: int


def let_go(text: Text) -> None:
    """What was read of a file stays in the system's cache and leaves our memory."""
    if isinstance(text, mmap):
        text.madvise(MADV_DONTNEED)


def run_end(pattern: re.Pattern[bytes], text: Text, position: int) -> int:
    """Where what `pattern` matches ends (any number of units of a byte or two), however long it is."""
    while match := pattern.match(text, position, position + WINDOW):
        if match.end() - position < WINDOW - 1:  # it may end a byte early, before half a unit
            return match.end()
        position = match.end()
        let_go(text)
    return position


def skip_space(text: Text, position: int) -> int:
    return run_end(SPACE, text, position)


def end_of(text: Text, start: int, *, exact: bool = True) -> int:
    """Where the value that starts at `start` ends."""
    first = text[start] if start < len(text) else 0
    if first in OPEN:
        return (end_of_brackets if exact else quick_end_of_brackets)(text, start)
    if first == QUOTE:
        return end_of_string(text, start)
    end = run_end(SCALAR, text, start)
    if end == start:
        raise Broken(start)
    return end


def end_of_string(text: Text, start: int) -> int:
    end = run_end(INSIDE_STRING, text, start + 1)
    if text[end : end + 1] != b'"':
        raise Broken(start)
    return end + 1


def quick_end_of_brackets(text: Text, start: int) -> int:
    depth = 0
    for position in range(start, len(text), WINDOW):
        for bracket in BRACKET.finditer(text, position, position + WINDOW):
            if bracket[0] in (b"{", b"["):
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    return bracket.end()
        let_go(text)
    raise Broken(start)


def end_of_brackets(text: Text, start: int) -> int:
    depth, position, shown = 0, start, start
    while position := after_bracket(text, position):
        if text[position - 1] in OPEN:
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return position
        if position - shown > WINDOW:
            shown = position
            let_go(text)
    raise Broken(start)


def after_bracket(text: Text, position: int) -> int:
    """Behind the next bracket that is in no string; 0 where there is none."""
    if token := TO_BRACKET.match(text, position, position + WINDOW):
        return token.end()
    try:
        while text[position : position + 1] not in BRACKETS:  # it is further away than that
            position = run_end(OUTSIDE_STRING, text, position)
            if text[position : position + 1] == b'"':
                position = end_of_string(text, position)
    except Broken:
        return 0
    return position + 1 if position < len(text) else 0


def member(text: Text, position: int) -> tuple[bytes, int] | None:
    """The name of the object's member at `position` and where its value starts; None at the object's end."""
    position = skip_space(text, position)
    if text[position : position + 1] == b"}":
        return None
    if text[position : position + 1] != b'"':
        raise Broken(position)
    end = end_of(text, position)
    colon = skip_space(text, end)
    if text[colon : colon + 1] != b":":
        raise Broken(position)
    return bytes(text[position + 1 : min(end - 1, position + NAME)]), skip_space(text, colon + 1)


def after(text: Text, end: int) -> int:
    """Where the next member or element starts, or its object or array ends."""
    position = skip_space(text, end)
    if text[position : position + 1] == b",":
        return skip_space(text, position + 1)
    if text[position : position + 1] in (b"}", b"]"):
        return position
    raise Broken(position)


class Entry(NamedTuple):
    """Where the parts of one entry (fullUrl, resource, request) are in the text of its Bundle."""

    start: int
    end: int
    parts: dict[bytes, Span]


def scan_entry(text: Text, start: int, *, exact: bool) -> Entry:
    if text[start : start + 1] != b"{":
        raise Broken(start)
    parts: dict[bytes, Span] = {}
    position = skip_space(text, start + 1)
    while found := member(text, position):
        name, value = found
        parts[name] = Span(value, end_of(text, value, exact=exact))
        position = after(text, parts[name].end)
    return Entry(start, skip_space(text, position) + 1, parts)


PARTS = (b"resource", b"fullUrl", b"request")


class Places:
    """Where the entries are, as 64 bytes for each: a Bundle may have millions."""

    def __init__(self) -> None:
        self.numbers = array("q")

    def __len__(self) -> int:
        return len(self.numbers) // (2 + 2 * len(PARTS))

    def append(self, entry: Entry) -> None:
        self.numbers.extend((entry.start, entry.end))
        for name in PARTS:
            self.numbers.extend(entry.parts.get(name, NOWHERE))

    def __iter__(self) -> Iterator[Entry]:
        step = 2 + 2 * len(PARTS)
        for first in range(0, len(self.numbers), step):
            start, end, *rest = self.numbers[first : first + step]
            spans = zip(PARTS, zip(rest[::2], rest[1::2], strict=True), strict=True)
            yield Entry(start, end, {name: Span(*span) for name, span in spans if span != NOWHERE})


NOWHERE = (-1, -1)
MOST_ENTRIES = 150_000
"""More make no Bundle of theirs: what is kept about each entry would no longer be little."""


class Bundle:
    """Where the entries and the other members of a Bundle are in its text.

    `broken` is None, or where the text goes wrong: entries before that are there. `crowded`: or where there are more
    than MOST_ENTRIES.
    """

    def __init__(self, text: Text, *, exact: bool) -> None:
        self.text, self.exact = text, exact
        self.parts: dict[bytes, Span] = {}
        self.entries = Places()
        self.broken: int | None = None
        self.crowded = False
        self.end: int | None = None
        try:
            self.end = self._scan()
        except Broken as broken:
            self.broken = broken.position

    def _scan(self) -> int:
        position = skip_space(self.text, skip_space(self.text, 0) + 1)
        while found := member(self.text, position):
            name, value = found
            if name == b"entry" and self.text[value : value + 1] == b"[":
                end = self._scan_entries(value)
            else:
                end = end_of(self.text, value, exact=self.exact)
                self.parts[name] = Span(value, end)
            position = after(self.text, end)
        return skip_space(self.text, position) + 1

    def _scan_entries(self, start: int) -> int:
        position, shown = skip_space(self.text, start + 1), start
        while self.text[position : position + 1] != b"]":
            if len(self.entries) == MOST_ENTRIES:
                self.crowded = True
                raise Broken(position)
            entry = scan_entry(self.text, position, exact=self.exact)
            self.entries.append(entry)
            position = after(self.text, entry.end)
            shown = self._let_go(shown, entry.end)
        return position + 1

    def each(self) -> Iterator[Entry]:
        shown = 0
        for entry in self.entries:
            yield entry
            shown = self._let_go(shown, entry.end)

    def _let_go(self, shown: int, position: int) -> int:
        """Let go of the pages between, when they are many; return from where the next ones count."""
        if position - shown < WINDOW:
            return shown
        let_go(self.text)
        return position

    def small(self, span: Span | None) -> bytes:
        """The text of a part; nothing of one that is larger than a resource may be."""
        return self.text[span.start : span.end] if span and span.end - span.start <= MAX_BYTES else b""


def read_bundle(text: Text) -> Bundle:
    """The Bundle that `text` is."""
    bundle = Bundle(text, exact=False)
    well = (bundle.broken is None or bundle.crowded) and are_json(bundle)
    return bundle if well else Bundle(text, exact=True)


def are_json(bundle: Bundle) -> bool:
    """Whether all its resources are; False also for one that is too large to be looked at."""
    try:
        for entry in bundle.each():
            if entry.end - entry.start > MAX_BYTES:
                return False
            orjson.loads(bundle.small(entry.parts.get(b"resource")) or b"null")
    except orjson.JSONDecodeError:
        return False
    return True
