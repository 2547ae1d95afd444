"""Files and folders to resources, one at a time: NDJSON, Bundles and single resources, plain or gzipped.

What a file is shows in its first bytes, never in its name. Whatever cannot be taken comes out as `Refused`
with its place and its bytes, and the rest goes on.
"""

from __future__ import annotations

import gzip
import io
import mmap
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from records import labels
from records.importing import rejections
from records.importing.bundles import MOST_ENTRIES, Bundle, Entry, Span, read_bundle, skip_space
from records.importing.parsing import FHIR_ID, MAX_BYTES, STRING, Reason, Unreadable, identity, parse
from records.importing.references import DIRECTORY_TYPES, Addresses, literal

HEAD = 2**20
"""How much of a file is looked at to tell what it is."""
MAX_DOCUMENT = 4 * 2**30
"""Of a Bundle file, unpacked: it is spread out on disk, not in memory."""
UNPACKED, RATIO = 64 * 2**20, 200
"""An archive may unpack to the first, or to so many times its size if that is more."""
KEPT = 2**16
"""How much is kept of a line that is larger than a resource may be."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UNREADABLE_FILE = (OSError, EOFError, zlib.error)  # a truncated or damaged gzip raises any of these


class Arrived(NamedTuple):
    """One resource as it came, with references in the terms of its source."""

    file: str
    number: int
    """The line in its file, or the place of its entry in the Bundle, from 1."""
    raw: bytes
    document: dict[str, Any]
    type: str
    fhir_id: str
    classes: frozenset[str]
    """Of the labels on the Bundle it came in."""
    addresses: Addresses


class Refused(NamedTuple):
    """Something that cannot be taken: where, why, and its bytes."""

    file: str
    number: int
    reason: Reason
    detail: str
    raw: bytes
    whole: bool = True
    """False when only the start of what came is kept."""


class Deleted(NamedTuple):
    """A Bundle entry by which the source says that it no longer has a resource."""

    target: str
    """`Type/id`"""


class Mended(NamedTuple):
    """A line that was rejected, exported and mended has been read, the line above this."""

    file: str
    number: int
    rejection: int


Outcome = Arrived | Refused | Deleted | Mended


@dataclass(frozen=True)
class File:
    """A file with FHIR resources in it."""

    path: Path
    name: str
    """Relative to the folder that was asked for: what people see."""
    size: int
    rank: int
    """Of the types in it: see RANKS."""
    by_lines: bool
    problem: tuple[Reason, str] | None = None
    """Why nothing in it can be read."""


# ---------------------------------------------------------------- which files

# Patients and what everything refers to come first, and containers after what they hold, so that nearly all
# is complete at once. Anything else works too; it is looked at again when the import ends.
OTHER_RANK = 4
CONTAINERS = ("DiagnosticReport", "DocumentReference", "Composition", "List", "DocumentManifest", "Provenance")
RANKS = {
    **dict.fromkeys(DIRECTORY_TYPES, 0),
    "Patient": 1,
    "Consent": 2,
    "Medication": 3,
    **{kind: OTHER_RANK + place for place, kind in enumerate(CONTAINERS, 1)},
}
RESOURCE_TYPE = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]+)"')
BY_LINES = re.compile(r"\.(ndjson|jsonl)(\.gz)?$", re.IGNORECASE)
ARRAY = re.compile(rb'\[\s*\{\s*"resourceType"')
UTF_16 = re.compile("resourceType".encode("utf-16-le"))  # the same bytes, but for the first, in the other order


def find_files(paths: list[Path]) -> tuple[list[File], list[str]]:
    """The FHIR files among `paths` and in folders below them, in the order to import, and the names of the others."""
    files, others = [], []
    for path, name, error in sorted(walk(paths), key=lambda found: found[0]):
        try:
            if error:
                raise error
            file = look_at(path, name) if path.is_file() else None
        except UNREADABLE_FILE as problem:  # its rejection says so, in its place
            said = (Reason.BROKEN_FILE, f"it cannot be read: {describe(problem)}")
            file = File(path, name, 0, OTHER_RANK, by_lines=True, problem=said)
        if file:
            files.append(file)
        else:
            others.append(name)
    return sorted(files, key=lambda file: (file.rank, file.name)), others


def walk(paths: list[Path]) -> Iterator[tuple[Path, str, OSError | None]]:
    """Everything that is no folder, with a name for people, and folders that cannot be looked into. Links to folders
    are not followed: they may lead in a circle."""
    for path in paths:
        if not path.is_dir():
            yield path, printable(path.name), missing(path)
            continue
        errors: list[OSError] = []
        for folder, folders, names in os.walk(path, onerror=errors.append):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names + links:
                if not name.startswith("."):
                    found = Path(folder, name)
                    yield found, printable(str(found.relative_to(path))), missing(found)
        for error in errors:
            yield Path(error.filename), printable(os.path.relpath(error.filename, path)), error


def missing(path: Path) -> OSError | None:
    """Why there is nothing at `path`: a link to a file that is gone."""
    try:
        path.stat()
    except OSError as error:
        return error
    return None


def printable(name: str) -> str:
    """A file's name as text: what is none (other encodings), or would act on a terminal or a page, is escaped."""
    if name.isprintable():
        return name
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)


def look_at(path: Path, name: str) -> File | None:
    """What kind of file this is; None when no FHIR resource is in sight."""
    size = path.stat().st_size
    with opened(path) as stream:
        head = stream.read(HEAD).removeprefix(BYTE_ORDER_MARK).lstrip()
        if not head:
            raise_what_broke(stream)
    if UTF_16.search(head):
        said = (Reason.NOT_UTF8, "the file is UTF-16: FHIR is written in UTF-8")
        return File(path, name, size, OTHER_RANK, by_lines=True, problem=said)
    if ARRAY.match(head):
        said = (Reason.UNSUPPORTED, "the file is a JSON array: send a resource a line, or a Bundle")
        return File(path, name, size, OTHER_RANK, by_lines=True, problem=said)
    types = {match[1].decode() for match in RESOURCE_TYPE.finditer(head)}
    lines = [line for line in head.split(b"\n")[:20] if line.strip()]
    parsed = [document for line in lines if (document := object_in(line)) is not None]
    if any(rejections.is_packed(line) for line in lines):
        return File(path, name, size, OTHER_RANK, by_lines=True)
    # A line that is not JSON but names a resource type is a broken resource, and must not go by as "not FHIR".
    if not types or (len(parsed) == len(lines) and not any("resourceType" in document for document in parsed)):
        return None
    if not head.startswith(b"{") and not any(line.startswith(b"{") and RESOURCE_TYPE.search(line) for line in lines):
        return None  # a text about FHIR
    by_lines = bool(parsed) or BY_LINES.search(name) is not None
    # By its earliest type: a file of many types may hold older versions of what other files hold.
    rank = min((RANKS.get(kind, OTHER_RANK) for kind in types if kind != "Bundle"), default=OTHER_RANK)
    return File(path, name, size, rank, by_lines)


def object_in(line: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


@contextmanager
def opened(path: Path, on_progress: Callable[[int], None] | None = None) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file. `on_progress` hears how many bytes of the file as it is have been read."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        plain = io.BufferedReader(Counted(file, on_progress), HEAD) if on_progress else file
        yield io.BufferedReader(Unpacked(plain, path.stat().st_size), HEAD) if packed else plain


class Bomb(Exception):
    """An archive that unpacks to far more than any record does."""


class Unpacked(io.RawIOBase):
    """A gzip archive, up to where it breaks, or where it has unpacked to more than any feed would: records come to a
    twentieth or so. Then it seems to end, so that all before that is read, and `broke` says why."""

    def __init__(self, packed: Any, size: int) -> None:
        self.stream, self.limit, self.length = gzip.GzipFile(fileobj=packed), max(UNPACKED, RATIO * size), 0
        self.broke: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.broke:
            return 0
        try:
            chunk = self.stream.read1(len(buffer))  # `read` would lose what it has when it comes to the break
        except UNREADABLE_FILE as error:
            self.broke = error
            return 0
        self.length += len(chunk)
        if self.length > self.limit:
            self.broke = Bomb(f"unpacks to more than {self.limit:,} bytes")
            return 0
        buffer[: len(chunk)] = chunk
        return len(chunk)


def raise_what_broke(stream: BinaryIO, *, only: type[Exception] = Exception) -> None:
    """Raise what ended an archive before its end, if anything did."""
    broke = getattr(getattr(stream, "raw", None), "broke", None)
    if isinstance(broke, only):
        raise broke


class Counted(io.RawIOBase):
    """A file that tells how far it has been read."""

    def __init__(self, file: BinaryIO, on_progress: Callable[[int], None]) -> None:
        self.file, self.on_progress = file, on_progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self.file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self.on_progress(self.file.tell())
        return len(chunk)


# ---------------------------------------------------------------- what is in a file


def read(file: File, addresses: Addresses, on_progress: Callable[[int], None] | None = None) -> Iterator[Outcome]:
    """Everything in `file`, in its order."""
    if file.problem:
        yield Refused(file.name, 1, *file.problem, b"", whole=False)
        return
    number = 0
    try:
        with opened(file.path, on_progress) as stream:
            for outcome in by_lines(stream, file.name, addresses) if file.by_lines else whole(stream, file, addresses):
                number = getattr(outcome, "number", number)
                yield outcome
                del outcome  # or its document is in memory while the next is read
            raise_what_broke(stream)
    except Bomb as bomb:
        yield Refused(
            file.name, number + 1, Reason.TOO_LARGE, f"the file cannot be read on: it {bomb}", b"", whole=False
        )
    except UNREADABLE_FILE as error:
        yield Refused(
            file.name,
            number + 1,
            Reason.BROKEN_FILE,
            f"the file cannot be read on: {describe(error)}",
            b"",
            whole=False,
        )


def describe(error: BaseException) -> str:
    """What went wrong with a file, without its path."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def by_lines(stream: BinaryIO, name: str, addresses: Addresses) -> Iterator[Outcome]:
    number = 0
    while line := stream.readline(MAX_BYTES + 2):
        number += 1
        if len(line) > MAX_BYTES and not line.endswith(b"\n"):
            length = len(line) + skip_line(stream)
            yield Refused(name, number, Reason.TOO_LARGE, too_large(length), line[:KEPT], whole=False)
            continue
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if line := line.strip():
            if b'"resourceType"' not in line and rejections.is_packed(line):
                yield from receive_mended(line, name, number, addresses)
            else:
                yield from receive(line, name, number, addresses)


def receive_mended(line: bytes, name: str, number: int, addresses: Addresses) -> Iterator[Outcome]:
    """A line of an export of rejections, as somebody mended it."""
    try:
        rejection, raw = rejections.unpack(line)
    except ValueError as problem:
        yield Refused(name, number, Reason.BROKEN_JSON, f"not a line of an export of rejections: {problem}", line)
        return
    yield from receive(raw.strip(), name, number, addresses)
    yield Mended(name, number, rejection)


def skip_line(stream: BinaryIO) -> int:
    """Read on to the end of the line; return how many bytes that was."""
    length = 0
    while chunk := stream.readline(HEAD):
        length += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return length


def whole(stream: BinaryIO, file: File, addresses: Addresses) -> Iterator[Outcome]:
    """A file that is one JSON document: a Bundle, or one resource over many lines."""
    with tempfile.TemporaryFile() as spread:
        length = 0
        while chunk := stream.read(HEAD):
            length += spread.write(chunk if length else chunk.removeprefix(BYTE_ORDER_MARK))
            if length > MAX_DOCUMENT:
                detail = f"more than {MAX_DOCUMENT:,} bytes unpacked"
                yield Refused(file.name, 1, Reason.TOO_LARGE, detail, b"", whole=False)
                return
        raise_what_broke(stream, only=Bomb)  # of what is merely damaged, the beginning counts
        if not length:
            yield Refused(file.name, 1, Reason.BROKEN_FILE, "the file is empty now, and was not a moment ago", b"")
            return
        spread.flush()
        with mmap.mmap(spread.fileno(), 0, access=mmap.ACCESS_READ) as text:
            bundle = read_bundle(text)
            if is_bundle(bundle):
                yield from expand(bundle, file.name, addresses, depth=1)
            elif bundle.end is not None and skip_space(text, bundle.end) < length:
                spread.seek(0)  # more follows: lines, the first of which is longer than what was looked at
                yield from by_lines(spread, file.name, addresses)
            elif length > MAX_BYTES:
                yield Refused(file.name, 1, Reason.TOO_LARGE, too_large(length), text[:KEPT], whole=False)
            else:
                yield from receive(text[:].strip(), file.name, 1, addresses)


def is_bundle(bundle: Bundle) -> bool:
    return bundle.small(bundle.parts.get(b"resourceType")) == b'"Bundle"'


def too_large(length: int) -> str:
    return f"{length:,} bytes: a resource may have {MAX_BYTES:,}; the first {KEPT:,} are kept"


NO_CLASSES: frozenset[str] = frozenset()


def receive(
    raw: bytes, name: str, number: int, addresses: Addresses, classes: frozenset[str] = NO_CLASSES, depth: int = 0
) -> Iterable[Outcome]:
    """The resource that `raw` is; for a Bundle, those in it. `depth` counts the Bundles around it."""
    try:
        localised = addresses.localise(plain_slashes(raw))
        document = parse(localised)
        if document.get("resourceType") == "Bundle":
            return receive_bundle(read_bundle(raw), name, number, addresses, classes, depth)
        if depth and document.get("resourceType") == "OperationOutcome":
            return ()  # what a server says about a search, beside the records that were asked for
        kind, fhir_id = identity(document)
        if kind in DIRECTORY_TYPES:
            addresses.directory.add(document)
    except Unreadable as unreadable:
        # A Bundle with one bad entry is not a bad Bundle.
        if b'"Bundle"' in raw and is_bundle(bundle := read_bundle(raw)):
            return receive_bundle(bundle, name, number, addresses, classes, depth)
        return (Refused(name, number, unreadable.reason, unreadable.detail, raw),)
    except (AttributeError, TypeError):
        detail = "an element has not the shape that FHIR R4 gives it"
        return (Refused(name, number, Reason.WRONG_SHAPE, detail, raw),)
    text = compact(localised, document) if b"\n" in localised else localised
    return (Arrived(name, number, text, document, kind, fhir_id, classes, addresses),)


def receive_bundle(
    bundle: Bundle, name: str, number: int, addresses: Addresses, classes: frozenset[str], depth: int
) -> Iterable[Outcome]:
    if depth == MAX_BUNDLES:
        detail = f"more than {MAX_BUNDLES} Bundles inside of each other"
        return (Refused(name, number, Reason.TOO_DEEP, detail, bundle.text[:]),)
    return expand(bundle, name, addresses, classes, depth + 1, first_number=number)


ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def plain_slashes(raw: bytes) -> bytes:
    """`raw` with "/" for "\\/": some writers escape it, and references should read the same everywhere."""
    if b"\\" not in raw or b"\\/" not in raw:  # looking for one byte first is ten times as fast
        return raw
    return ESCAPED.sub(lambda match: b"/" if match[1] == b"/" else match[0], raw)


MAX_BUNDLES = 3
WHITE = b" \t\r\n"
SPACE_OUTSIDE = re.compile(b"(" + STRING + rb")|\s+", re.DOTALL)


def compact(raw: bytes, document: dict[str, Any]) -> bytes:
    """`raw` without the white space between its tokens, on one line: the same resource is the same text.

    Writing the document back is ten times as fast as walking the text, and the same wherever it gives the same
    characters; it does not where a number has digits that a float forgets ("1.50").
    """
    written = orjson.dumps(document)
    if written.translate(None, WHITE) == raw.translate(None, WHITE):
        return written
    return SPACE_OUTSIDE.sub(rb"\1", raw)


# ---------------------------------------------------------------- Bundles

READING = {"GET", "HEAD"}


def expand(
    bundle: Bundle, name: str, addresses: Addresses, outer: frozenset[str] = NO_CLASSES, depth: int = 0, *,
    first_number: int = 1,
) -> Iterator[Outcome]:  # fmt: skip
    """The resources in a Bundle, with its own labels on each of them."""
    try:
        meta = orjson.loads(bundle.small(bundle.parts.get(b"meta")) or b"{}")
        classes = outer | labels.classes_of_labels(meta.get("security"))
    except (orjson.JSONDecodeError, AttributeError):
        classes = outer | {labels.SensitiveClass.UNKNOWN}
    within = addresses.within(addresses_of_entries(bundle))
    number = first_number
    for number, entry in enumerate(bundle.each(), first_number):
        yield from receive_entry(bundle, entry, name, number, within, frozenset(classes), depth)
    if bundle.broken is not None and bundle.crowded:
        detail = f"a Bundle may have {MOST_ENTRIES:,} entries: send those that follow in another one"
        rest = bundle.text[bundle.broken : bundle.broken + KEPT]
        yield Refused(name, number + 1, Reason.TOO_LARGE, detail, rest, whole=False)
    elif bundle.broken is not None:
        rest = bundle.text[bundle.broken : bundle.broken + MAX_BYTES]
        detail = f"the Bundle breaks off in or after entry {len(bundle.entries) + 1}"
        all_of_it = bundle.broken + len(rest) == len(bundle.text)
        yield Refused(name, number + 1, Reason.BROKEN_JSON, detail, rest, whole=all_of_it)


def addresses_of_entries(bundle: Bundle) -> dict[str, str]:
    """fullUrl -> Type/id of the entries, for references between them, forward ones included."""
    found = {}
    for entry in bundle.each():
        url = "" if is_long(entry.parts.get(b"fullUrl")) else text_part(bundle, entry, b"fullUrl")
        document = object_in(bundle.small(entry.parts.get(b"resource"))) if url else None
        if document and (target := literal(f"{document.get('resourceType')}/{document.get('id') or id_in(url)}")):
            found[url] = target
    return found


LONGEST_ADDRESS = 200
"""Of one entry; they are kept in memory while a Bundle is read."""


def is_long(address: Span | None) -> bool:
    return address is not None and address.end - address.start > LONGEST_ADDRESS + 2  # its quotes


def text_part(bundle: Bundle, entry: Entry, part: bytes) -> str:
    try:
        value = orjson.loads(bundle.small(entry.parts.get(part)) or b'""')
    except orjson.JSONDecodeError:
        return ""
    return value if isinstance(value, str) else ""


def id_in(url: str) -> str:
    """The id that an entry without one has by its address: a transaction may leave it to `fullUrl`."""
    fhir_id = url.removeprefix("urn:uuid:") if url.startswith("urn:uuid:") else url.rsplit("/", 1)[-1]
    return fhir_id if FHIR_ID.fullmatch(fhir_id) else ""


def receive_entry(
    bundle: Bundle, entry: Entry, name: str, number: int, addresses: Addresses, classes: frozenset[str], depth: int
) -> Iterator[Outcome]:
    if (length := entry.end - entry.start) > MAX_BYTES:
        start = bundle.text[entry.start : entry.start + KEPT]
        yield Refused(name, number, Reason.TOO_LARGE, too_large(length), start, whole=False)
        return
    if is_long(entry.parts.get(b"fullUrl")):
        detail = f"fullUrl: an address may have {LONGEST_ADDRESS} bytes"
        yield Refused(name, number, Reason.TOO_LARGE, detail, bundle.text[entry.start : entry.end])
        return
    raw = bundle.small(entry.parts.get(b"resource"))
    request = object_in(bundle.small(entry.parts.get(b"request"))) or {}
    method, url = request.get("method"), request.get("url")
    if method == "DELETE" and isinstance(url, str) and (target := literal(url)):
        yield Deleted(target)
    elif method in ("DELETE", "PATCH"):
        detail = f"a {method} of this kind cannot be taken: send the resource as it is now"
        yield Refused(name, number, Reason.UNSUPPORTED, detail, bundle.text[entry.start : entry.end])
    elif raw and raw != b"null" and method not in READING:
        yield from receive(with_id(raw, text_part(bundle, entry, b"fullUrl")), name, number, addresses, classes, depth)


def with_id(raw: bytes, url: str) -> bytes:
    """`raw`, with the id that `url` gives it when it has none of its own."""
    if url and (document := object_in(raw)) and "id" not in document and (fhir_id := id_in(url)):
        return raw.replace(b"{", b'{"id":"%s",' % fhir_id.encode(), 1)
    return raw
