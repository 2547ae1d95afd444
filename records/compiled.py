"""Reading clinical rows by SQL that was built once in this process.

Django needs milliseconds to build the rule into a query, and PostgreSQL as long to plan it; a chart asks for a dozen.
Here the queryset is built the first time with stand-ins, kept as text, and run with the values at hand as a prepared
statement. The text *is* that of `visible_to`, so the rule is not stated a third time; the wall holds as for any query.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.contrib.postgres.fields import ArrayField
from django.db import connection
from django.db.models import BooleanField, F, Field, Func, Model, UUIDField, Value

from clinicportal.models import User
from clinicportal.viewing import must_be_viewer
from records.models import Patient, Resource, may_view

EVERY: list[Reading] = []
"""All that were made, for the test that holds each to the rule."""

VIEWER, ACTING_FOR, A_PATIENT = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
A_TIME = datetime(1, 1, 1, 1, 1, 1, 111111, tzinfo=UTC)


def viewer_stand_in(*, emergency: bool = False) -> User:
    user = User(id=VIEWER)
    user.acting_for = ACTING_FOR
    user.emergencies = frozenset({A_PATIENT} if emergency else ())
    return user


class Allowed:
    """What `build` takes rows from: the rule for the stand-in, already applied."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.patients = Patient.objects.allowed_to(user)
        self.listed = Patient.objects.listed_to(user)
        self.resources = Resource.objects.allowed_to(user)


class Reading:
    """Named columns of what `build` selects; called with a viewer and the values of `build`'s other parameters.

    `build(allowed, **stand_ins)` returns one `values_list` queryset, or several of the same columns whose rows come
    one after the other. `stand_ins` names the parameters and gives each a value that occurs nowhere else.
    """

    def __init__(self, build: Callable[..., Any], **stand_ins: Any) -> None:
        self.build, self.stand_ins = build, stand_ins
        self._statements: dict[bool, tuple[str, list[Any]]] = {}
        EVERY.append(self)

    def __call__(self, by: User, **values: Any) -> list[tuple[Any, ...]]:
        """The rows that `by` may see; none at all for somebody who may see nothing. Runs inside `viewing(by)`."""
        must_be_viewer(by)
        if not may_view(by):
            return []
        sql, slots = self.statement(emergency=bool(by.emergencies))
        given = {"": by.pk, "acting_for": by.acting_for, **values}
        return run(sql, [given[slot.name] if isinstance(slot, Slot) else slot for slot in slots])

    def statement(self, *, emergency: bool = False) -> tuple[str, list[Any]]:
        """`emergency`: as it reads for somebody who has an emergency access, or a review, under way."""
        if emergency not in self._statements:
            user = viewer_stand_in(emergency=emergency)
            found = self.build(Allowed(user), **self.stand_ins)
            parts = [part.query.sql_with_params() for part in (found if isinstance(found, list) else [found])]
            named = {VIEWER: Slot(""), ACTING_FOR: Slot("acting_for")}
            named |= {key_of(stand_in): Slot(name) for name, stand_in in self.stand_ins.items()}
            params = [named.get(key_of(param), param) for _, held in parts for param in held]
            sql = " UNION ALL ".join(f"({text})" for text, _ in parts) if len(parts) > 1 else parts[0][0]
            self._statements[emergency] = sql, params
        return self._statements[emergency]


class Around(Reading):
    """A statement around the one of `build`, which stands for {inner} in `text`.

    `further` names the parameters of `text` itself, a %s behind {inner} for each.
    """

    def __init__(self, build: Callable[..., Any], text: str, further: Sequence[str] = (), **stand_ins: Any) -> None:
        super().__init__(build, **stand_ins)
        self.text, self.further = text, further

    def statement(self, *, emergency: bool = False) -> tuple[str, list[Any]]:
        inner, slots = super().statement(emergency=emergency)
        return self.text.format(inner=inner), [*slots, *map(Slot, self.further)]


class Walk(Reading):
    """The first row of each value of one column: from one value to the next along an index, however many rows each has.

    `build(allowed, after, **stand_ins)` returns the row with the least value of `column` behind `after`, or the very
    first one for None. PostgreSQL has no such scan of its own; DISTINCT ON would read all rows.
    """

    def __init__(self, build: Callable[..., Any], column: str, most: int, **stand_ins: Any) -> None:
        super().__init__(build, **stand_ins)
        self.column, self.most = column, most
        self._walks: dict[bool, tuple[str, list[Any]]] = {}

    def statement(self, *, emergency: bool = False) -> tuple[str, list[Any]]:
        if emergency not in self._walks:
            self._walks[emergency] = self._walk(emergency)
        return self._walks[emergency]

    def _walk(self, emergency: bool) -> tuple[str, list[Any]]:
        begin, onward = Step(self, None), Step(self, A_WORD)
        (first, first_slots), (then, slots) = (step.statement(emergency=emergency) for step in (begin, onward))
        parts, places = re.split(r"(?<!%)%s", then), [slot == A_WORD for slot in slots]
        # Where the next step asks for more than a word, it asks for more than what the walk has reached.
        following = parts[0] + "".join(
            (f"walk.{self.column}" if reached else "%s") + part for reached, part in zip(places, parts[1:], strict=True)
        )
        names = ", ".join(begin.columns)
        sql = WALK.format(names=names, first=first, following=following, most=self.most)
        return sql, [*first_slots, *(slot for slot in slots if slot != A_WORD)]


A_WORD = str(uuid.uuid4())
WALK = """WITH RECURSIVE walk ({names}) AS (
({first}) UNION ALL (SELECT onward.* FROM walk, LATERAL ({following}) AS onward)) SELECT * FROM walk LIMIT {most:d}"""


class Step(Reading):
    """One step of a walk, which alone is no statement that a page runs."""

    def __init__(self, walk: Walk, after: str | None) -> None:
        self.build = lambda allowed, **given: walk.build(allowed, after, **given)
        self.stand_ins, self._statements = walk.stand_ins, {}

    @property
    def columns(self) -> Sequence[str]:
        names: Sequence[str] = self.build(Allowed(viewer_stand_in()), **self.stand_ins)._fields
        return names


class IsAnyOf(Func):
    """`field = ANY (list)`: the list of ids, or of words, is one parameter, however long."""

    template, arg_joiner, output_field = "%(expressions)s)", " = ANY (", BooleanField()

    def __init__(self, field: str, items: list[Any], of: Callable[[], Field[Any, Any]] = UUIDField) -> None:
        super().__init__(F(field), Value(items, output_field=ArrayField(of())))


class Slot:
    """Where a value goes that is known only when the statement runs."""

    def __init__(self, name: str) -> None:
        self.name = name


def key_of(value: Any) -> Any:
    value = value.pk if isinstance(value, Model) else value
    return tuple(value) if isinstance(value, list) else value


class Prepared(psycopg.Cursor[Any]):
    """A cursor that binds on the server and keeps the plan, which Django's own cursor does not."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        return super().execute(query, params, **{**options, "prepare": True})


def run(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Execute a statement as prepared, under the same guards and counters as any other of this connection."""
    connection.ensure_connection()
    if connection.queries_logged:  # Django's own log can't write down what the server binds
        connection.queries_log.append({"sql": sql, "time": ""})
    prepared: Any = Prepared(connection.connection)
    with connection.wrap_database_errors, connection.make_cursor(prepared) as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []
