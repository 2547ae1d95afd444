"""What Graph refuses with."""

from __future__ import annotations


class GraphError(Exception):
    """A refusal in Graph's envelope: only status and code are contract, the text may change (entra.md §1)."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers
