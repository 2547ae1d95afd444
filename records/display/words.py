"""Texts from a source made safe to print in a line of a clinical page."""

import re
import unicodedata

LONGEST = 4000
"""Characters of one text that are shown; more is a defect or an attack, and the reader is told."""

_SURROGATES = re.compile("[\ud800-\udfff]")
# Direction marks, embeddings, overrides and isolates: with them a text can reorder what is printed around it.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\u0085\x0b\x0c]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_MARKS_IN_A_ROW = 6
"""Accents on one letter that still belong to a script; a tower of them covers the row above."""

NBSP = "\u00a0"


def clean(value: object) -> str:
    """Return `value` as one line without anything that could hide, reorder or overprint other text.

    Anything but a string is "". Templates put `<bdi>` around the result, so that a name in a right-to-left
    script does not pull the punctuation after it to its other side.
    """
    if isinstance(value, str) and len(value) <= LONGEST and value.isascii() and value.isprintable():
        return " ".join(value.split())  # nearly all of them: nothing to take out
    return " ".join(clean_lines(value).split())


def clean_lines(value: object, longest: int = LONGEST) -> str:
    """Like `clean`, for texts whose line breaks mean something."""
    if not isinstance(value, str):
        return ""
    left_over = len(value) - longest
    line = value[:longest]
    if not line.isascii():
        line = _BIDI.sub("", _SURROGATES.sub("\ufffd", line))
        line = _limit_marks(unicodedata.normalize("NFC", line))
    line = _CONTROLS.sub("", _LINE_ENDS.sub("\n", line))
    return f"{line} [… +{left_over}]" if left_over > 0 else line


def _limit_marks(line: str) -> str:
    kept, in_a_row = [], 0
    for letter in line:
        in_a_row = in_a_row + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if in_a_row <= _MARKS_IN_A_ROW:
            kept.append(letter)
    return "".join(kept)


def sentence(line: str) -> str:
    """`line` with a capital first letter, the rest untouched (`str.capitalize` would lower HIV and mL)."""
    return line[:1].upper() + line[1:]
