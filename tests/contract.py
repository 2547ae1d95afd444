"""Every Graph exchange of a test, held against the public description of Microsoft Graph v1.0.

Requests are read strictly: no property and no query option that the description does not name, whatever its
`additionalProperties` say. Answers must fit the schema of their operation and status. What a test breaks on purpose it
says: `odd=True` with the request, or "odd": true with the ordered fault.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

Json = dict[str, Any]
REPOSITORY = Path(__file__).parents[1]
DESCRIPTION = "graph/openapi-subset.yaml"
ABSENT = f"shared/{DESCRIPTION} is not beside this checkout (CLINICPORTAL_SHARED names it): no exchange was checked"
ANSWERS, REQUESTS = "urn:graph:answers", "urn:graph:requests"

formats = FormatChecker(formats=["uuid"])


@formats.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    """A date and time with its zone (RFC 3339)."""
    return not isinstance(value, str) or dt.datetime.fromisoformat(value).tzinfo is not None


def shared_file(name: str) -> Path | None:
    """A file of the shared reference material, wherever this checkout finds it."""
    roots = [os.environ.get("CLINICPORTAL_SHARED"), REPOSITORY.parent / "shared", REPOSITORY.parents[1] / "shared"]
    return next((Path(root) / name for root in roots if root and (Path(root) / name).exists()), None)


class Operation:
    """One path and method of the description."""

    def __init__(self, contract: Contract, template: str, method: str, described: Json) -> None:
        self.contract, self.described = contract, described
        self.name = f"{method.upper()} {template}"
        self.templated = template.count("{")
        parts = re.split(r"(\{[^}]+\})", template)
        self.path = re.compile("".join("[^/']+" if part.startswith("{") else re.escape(part) for part in parts))
        self.method = method.upper()

    def request_problems(self, exchange: Json) -> Iterator[str]:
        known = {self.contract.parameter(p)["name"] for p in self.described.get("parameters", ())}
        for name, _ in parse_qsl(exchange["query"], keep_blank_values=True):
            if name not in known:
                yield f"the query option {name} is not described"
        body, described = exchange["request"], self.described.get("requestBody")
        if described is None:
            if body is not None:
                yield "a body that is not described"
        elif body is not None:
            yield from self._errors("request", described["content"]["application/json"]["schema"], body)
        elif described.get("required"):
            yield "no body"

    def answer_problems(self, exchange: Json) -> Iterator[str]:
        status, body = exchange["status"], exchange["response"]
        answers = self.described["responses"]
        described = answers.get(str(status)) or answers.get(f"{status // 100}XX")
        if described is None:
            yield f"the status {status} is not described"
            return
        content = self.contract.resolved(described).get("content")
        if content is None:
            if body is not None:
                yield f"a body with {status}, which has none"
            return
        [(kind, media)] = content.items()
        sent = exchange["response_headers"].get("content-type", "").partition(";")[0]
        if sent != kind:
            yield f"the answer is {sent or 'of no type'}, not {kind}"
        yield from self._errors(status, media["schema"], body)
        for item in _typed_items(body):
            yield from self.contract.typed_problems(item)

    def _errors(self, what: str | int, schema: Json, value: Any) -> Iterator[str]:
        validator = self.contract.validator(f"{self.name} {what}", schema, strict=what == "request")
        for error in validator.iter_errors(value):
            yield f"{error.json_path}: {error.message[:300]}"


class Contract:
    """The description, ready to be asked."""

    def __init__(self, description: Json) -> None:
        self.description = description
        answers = {"components": {"schemas": as_json_schema(description["components"]["schemas"])}}
        strict = {name: strictly(schema) for name, schema in answers["components"]["schemas"].items()}
        requests = {"components": {"schemas": strict}}
        self._registry = Registry().with_resources(
            [(ANSWERS, Resource.opaque(answers)), (REQUESTS, Resource.opaque(requests))]
        )
        self._validators: dict[str, Draft202012Validator] = {}
        every = [
            Operation(self, template, method, described)
            for template, methods in description["paths"].items()
            for method, described in methods.items()
            if method in ("get", "post", "patch", "put", "delete")
        ]
        # Concrete paths win over templated ones: /users/delta is no user.
        self.operations = sorted(every, key=lambda operation: operation.templated)

    def problems(self, exchange: Json) -> list[str]:
        """What is wrong with an exchange, in words; nothing when it keeps the contract."""
        operation = self.operation_of(exchange["method"], exchange["path"])
        asked = f"{exchange['method']} {exchange['path']} -> {exchange['status']}"
        if operation is None:
            return [] if exchange["odd_request"] else [f"{asked}: no such operation is described"]
        found: list[str] = []
        if not exchange["odd_request"]:
            found += [f"{asked}: request: {problem}" for problem in operation.request_problems(exchange)]
        if not exchange["odd_answer"]:
            found += [f"{asked}: answer: {problem}" for problem in operation.answer_problems(exchange)]
        return found

    def operation_of(self, method: str, path: str) -> Operation | None:
        path = path.removeprefix("/v1.0").replace("/microsoft.graph.", "/graph.")
        return next((o for o in self.operations if o.method == method and o.path.fullmatch(path)), None)

    def typed_problems(self, item: Json) -> Iterator[str]:
        """An item that names its type must be one: lists of directory objects promise next to nothing."""
        name = item["@odata.type"].removeprefix("#")
        if name not in self.description["components"]["schemas"]:
            yield f"the type {name} is not described"
            return
        schema = {"$ref": f"#/components/schemas/{name}"}
        for error in self.validator(name, schema, strict=False).iter_errors(item):
            yield f"{name}: {error.json_path}: {error.message[:300]}"

    def parameter(self, node: Json) -> Json:
        return self.resolved(node)

    def resolved(self, node: Json) -> Json:
        if "$ref" not in node:
            return node
        kind, _, name = node["$ref"].removeprefix("#/components/").partition("/")
        return self.description["components"][kind][name]

    def validator(self, key: str, schema: Json, *, strict: bool) -> Draft202012Validator:
        if key not in self._validators:
            made = as_json_schema(schema)
            if strict:
                made = {**strictly(made), "unevaluatedProperties": False}
            made = _absolute(made, REQUESTS if strict else ANSWERS)
            self._validators[key] = Draft202012Validator(made, registry=self._registry, format_checker=formats)
        return self._validators[key]


def as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema says type null."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {name: as_json_schema(value) for name, value in node.items()}
    if made.pop("nullable", None) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def strictly(node: Any) -> Any:
    """The same without anything unnamed, at any depth: wherever a schema is used as a property or an item."""
    if isinstance(node, list):
        return [strictly(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {name: strictly(value) for name, value in node.items() if name not in ("properties", "additionalProperties")}
    if "properties" in node:  # a map of names, not a schema: a property may be called "properties"
        named = node["properties"].items()
        made["properties"] = {name: {**strictly(value), "unevaluatedProperties": False} for name, value in named}
    if isinstance(made.get("items"), dict):
        made["items"] = {**made["items"], "unevaluatedProperties": False}
    return made


def _absolute(node: Any, base: str) -> Any:
    if isinstance(node, list):
        return [_absolute(item, base) for item in node]
    if not isinstance(node, dict):
        return node
    return {name: base + value if name == "$ref" else _absolute(value, base) for name, value in node.items()}


def _typed_items(body: Any) -> list[Json]:
    if not isinstance(body, dict):
        return []
    items = [body, *(body["value"] if isinstance(body.get("value"), list) else [])]
    return [item for item in items if isinstance(item, dict) and "@odata.type" in item]


# -- in tests ---------------------------------------------------------------------------------------------------


@functools.cache
def contract() -> Contract | None:
    """The contract, read once; None where the shared material is absent."""
    path = shared_file(DESCRIPTION)
    return Contract(yaml.load(path.read_text(), Loader=yaml.CSafeLoader)) if path else None


def required() -> Contract:
    """For the tests of the contract itself, which say by being skipped that nothing was checked."""
    found = contract()
    if found is None:
        pytest.skip(ABSENT)
    return found


class Recorder(Protocol):
    """A running stand-in that hands over the exchanges it had since the last time."""

    def take_exchanges(self) -> list[Json]: ...


@contextmanager
def kept_by(process: Recorder) -> Iterator[None]:
    """Fail when an exchange inside broke the contract; for fixtures, so that no test can forget it."""
    process.take_exchanges()
    yield
    known = contract()
    exchanges = process.take_exchanges()
    if known is not None:
        broken = [problem for exchange in exchanges for problem in known.problems(exchange)]
        assert not broken, "Exchanges that break the contract:\n" + "\n".join(broken)
