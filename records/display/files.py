"""Files that came with a document: which may be handed to a browser, and what they really are.

Only what cannot run: a PDF, and pictures that are pixels. What a source calls a file counts for nothing against its
first bytes; SVG, HTML and everything else stays with the source.
"""

import base64
import binascii
from dataclasses import dataclass

from records.display import fhir

MOST_BYTES = 20 * 1024 * 1024

_SIGNATURES: tuple[tuple[str, str, tuple[bytes, ...]], ...] = (
    ("application/pdf", "pdf", (b"%PDF-",)),
    ("image/png", "png", (b"\x89PNG\r\n\x1a\n",)),
    ("image/jpeg", "jpg", (b"\xff\xd8\xff",)),
    ("image/gif", "gif", (b"GIF87a", b"GIF89a")),
)


@dataclass(frozen=True)
class File:
    """`type` is what the bytes say."""

    type: str
    ending: str
    content: bytes

    @property
    def is_picture(self) -> bool:
        return self.type.startswith("image/")


def of(attachment: fhir.Json) -> File | None:
    """The file in an Attachment; None when it is not here, damaged, too large or of a kind that we don't hand on."""
    data = attachment.get("data")
    if not isinstance(data, str) or len(data) * 3 // 4 > MOST_BYTES:
        return None
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return next(
        (File(type, ending, content) for type, ending, starts in _SIGNATURES if content.startswith(starts)), None
    )


def attachments(resource: fhir.Json) -> list[fhir.Json]:
    """The attachments of a DocumentReference or a DiagnosticReport, in their order."""
    if resource.get("resourceType") == "DiagnosticReport":
        return fhir.mappings(resource.get("presentedForm"))
    return [fhir.mapping(content.get("attachment")) for content in fhir.mappings(resource.get("content"))]
