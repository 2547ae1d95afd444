"""What is refused: by Graph, by the token endpoint, and to whoever sets this stand-in up."""

from __future__ import annotations

from collections.abc import Iterable


class GraphError(Exception):
    """A refusal in Graph's envelope: only status and code are contract, the text may change (entra.md §1).

    `details` are (code, message, target) of each inner error; `verdict` says in words, for the page of calls, what
    the status does not.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        details: Iterable[tuple[str, str, str]] = (),
        verdict: str = "",
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers
        self.details, self.verdict = list(details), verdict or f"Refused: {code}"


class TokenError(Exception):
    """A refusal of the token endpoint, in Entra's words (entra.md §13)."""

    def __init__(self, error: str, number: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.error, self.number, self.text, self.status = error, number, text, status


class Mistake(Exception):
    """Control or a scenario asked for something that is not there; the message says what would be."""
