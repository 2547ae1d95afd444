"""The part of OData's $filter that directory queries use (entra.md §1 pre-check, §2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .store import Json

Predicate = Callable[[Json], bool]
INDEXED = ("id", "mail", "userPrincipalName", "otherMails", "proxyAddresses")

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|([A-Za-z_][\w./]*)|([(),:]))")


class BadFilter(Exception):
    """The text is no filter, or asks for something that the directory does not answer."""

    def __init__(self, message: str, code: str = "Request_UnsupportedQuery") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Condition:
    """A test for one object. `only`: nothing passes that has none of these ids and addresses; None: anything may."""

    test: Predicate
    only: frozenset[str] | None = None


def condition(text: str, properties: set[str], *, advanced: bool) -> Condition:
    """What $filter asks of one object.

    `advanced`: the caller sent ConsistencyLevel: eventual and $count=true, without which ne, not and endsWith
    are refused (entra.md §2). Strings compare without regard to case, as the directory's do.
    """
    parser = _Parser(_tokens(text), properties, advanced)
    found = parser.expression()
    parser.end()
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadFilter(f"Invalid filter clause: syntax error at position {position}.", "BadRequest")
        literal, name, mark = match.groups()
        if literal is not None:
            tokens.append(("literal", literal.replace("''", "'")))
        else:
            tokens.append(("name", name) if name else ("mark", mark))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], properties: set[str], advanced: bool) -> None:
        self.tokens, self.properties, self.advanced = tokens, properties, advanced

    def expression(self) -> Condition:
        parts = self._parts("or", self._conjunction)
        words = [part.only for part in parts]
        only = None if None in words else frozenset(word for part in words for word in part or ())
        return parts[0] if len(parts) == 1 else Condition(lambda item: any(p.test(item) for p in parts), only)

    def end(self) -> None:
        if self.tokens:
            raise BadFilter(f"Invalid filter clause: unexpected '{self.tokens[0][1]}'.", "BadRequest")

    def _conjunction(self) -> Condition:
        parts = self._parts("and", self._negation)
        only = next((part.only for part in parts if part.only is not None), None)
        return parts[0] if len(parts) == 1 else Condition(lambda item: all(p.test(item) for p in parts), only)

    def _parts(self, word: str, part: Callable[[], Condition]) -> list[Condition]:
        parts = [part()]
        while self.tokens and self.tokens[0] == ("name", word):
            self.tokens.pop(0)
            parts.append(part())
        return parts

    def _negation(self) -> Condition:
        if self.tokens and self.tokens[0] == ("name", "not"):
            self.tokens.pop(0)
            self._needs_advanced("not")
            inner = self._term()
            return Condition(lambda item: not inner.test(item))
        return self._term()

    def _term(self) -> Condition:
        kind, text = self._next()
        if (kind, text) == ("mark", "("):
            inner = self.expression()
            self._take(")")
            return inner
        if kind != "name":
            raise BadFilter(f"Invalid filter clause: unexpected '{text}'.", "BadRequest")
        if text.lower() in ("startswith", "endswith"):
            return self._affix(text.lower())
        if text.endswith("/any"):
            return self._any(text.removesuffix("/any"))
        return self._comparison(text)

    def _affix(self, function: str) -> Condition:
        if function == "endswith":
            self._needs_advanced("endsWith")
        self._take("(")
        name = self._property(self._next()[1])
        self._take(",")
        wanted = self._literal().lower()
        self._take(")")
        test = str.startswith if function == "startswith" else str.endswith
        return Condition(lambda item: test((item.get(name) or "").lower(), wanted))

    def _any(self, collection: str) -> Condition:
        """otherMails/any(x:x eq 'a@b.example')"""
        name = self._property(collection)
        self._take("(")
        variable = self._next()[1]
        self._take(":")
        if self._next()[1] != variable:
            raise BadFilter("Invalid filter clause: any() must compare its own variable.", "BadRequest")
        compare, wanted = self._operator()
        self._take(")")
        return Condition(lambda item: any(compare(v) for v in item.get(name) or []), _only(name, wanted))

    def _comparison(self, text: str) -> Condition:
        name = self._property(text)
        compare, wanted = self._operator(name)
        return Condition(lambda item: compare(item.get(name)), _only(name, wanted))

    def _operator(self, name: str = "") -> tuple[Callable[[Any], bool], list[Any] | None]:
        """The comparison, and the values of which one must be there, or None when any may."""
        operator = self._next()[1]
        if operator == "in":
            return self._in()
        if operator not in ("eq", "ne"):
            raise BadFilter(f"Unsupported filter operator '{operator}'.")
        wanted = self._value()
        if operator == "ne":
            self._needs_advanced("ne")
            return lambda value: _folded(value) != wanted, None
        if wanted is None and name == "externalUserState":
            raise BadFilter("Unsupported property filter clause: externalUserState eq null.")  # entra.md §2
        return lambda value: _folded(value) == wanted, [wanted]

    def _in(self) -> tuple[Callable[[Any], bool], list[Any]]:
        self._take("(")
        wanted = [self._value()]
        while self.tokens and self.tokens[0] == ("mark", ","):
            self.tokens.pop(0)
            wanted.append(self._value())
        self._take(")")
        return lambda value: _folded(value) in wanted, wanted

    def _value(self) -> Any:
        kind, text = self._next()
        if kind == "literal":
            return text.lower()
        words = {"null": None, "true": True, "false": False}
        if text not in words:
            raise BadFilter(f"Invalid filter clause: '{text}' is not a value.", "BadRequest")
        return words[text]

    def _literal(self) -> str:
        kind, text = self._next()
        if kind != "literal":
            raise BadFilter(f"Invalid filter clause: '{text}' is not a string.", "BadRequest")
        return text

    def _property(self, name: str) -> str:
        if name not in self.properties:
            raise BadFilter(f"Invalid filter clause: Could not find a property named '{name}'.", "BadRequest")
        return name

    def _needs_advanced(self, what: str) -> None:
        if not self.advanced:
            raise BadFilter(f"Operator '{what}' needs the header ConsistencyLevel: eventual and $count=true.")

    def _take(self, mark: str) -> None:
        if self._next() != ("mark", mark):
            raise BadFilter(f"Invalid filter clause: '{mark}' expected.", "BadRequest")

    def _next(self) -> tuple[str, str]:
        if not self.tokens:
            raise BadFilter("Invalid filter clause: it ends too early.", "BadRequest")
        return self.tokens.pop(0)


def _only(name: str, wanted: list[Any] | None) -> frozenset[str] | None:
    if name not in INDEXED or wanted is None or not all(isinstance(value, str) for value in wanted):
        return None
    prefixed = name == "proxyAddresses"
    return frozenset(value.rpartition(":")[2] if prefixed else value for value in wanted)


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
