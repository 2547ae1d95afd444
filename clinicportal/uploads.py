"""Files from a browser: refused everywhere but in views that say they take one, and up to a size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.files.uploadhandler import SkipFile, StopUpload, TemporaryFileUploadHandler


def takes_file(most: int) -> Callable[[Callable], Callable]:
    """Let a view receive one file of at most `most` bytes; it stands in `request.FILES`, or `too_large(request)`."""

    def mark(view: Callable) -> Callable:
        view.most_bytes = most  # type: ignore[attr-defined]
        return view

    return mark


def too_large(request: Any) -> bool:
    return getattr(request, "upload_too_large", False)


class WhereAsked(TemporaryFileUploadHandler):
    """Spools to disk what the view at hand may take. More than that is read no further; elsewhere files are skipped."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        match = getattr(self.request, "resolver_match", None)
        self.most = getattr(match.func, "most_bytes", 0) if match else 0
        if not self.most:
            raise SkipFile
        super().new_file(*args, **kwargs)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > self.most:
            self.request.upload_too_large = True  # type: ignore[union-attr]
            raise StopUpload(connection_reset=False)
        super().receive_data_chunk(raw_data, start)
