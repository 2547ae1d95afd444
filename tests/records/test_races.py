"""What ends while a page is being made: the page as it was, or none; and the trail says by what it was read."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connection
from django.utils import timezone

from clinicportal.models import AuditEvent
from records.models import Grant, Membership, OptOut, Section
from tests import factories as make
from tests.records.test_chart import coded, everything, observation, seat, text_of

__all__ = ["everything", "seat"]

WORKER = "worker"


@contextmanager
def before_statement(number: int, act):
    """Let `act` happen, and be committed, just before this statement of the request."""
    seen = 0

    def execute(run, sql, params, many, context):
        nonlocal seen
        seen += 1
        if seen == number:
            act()
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield lambda: seen


def end_of_grant(grant, patient):
    Grant.objects.using(WORKER).filter(pk=grant.pk).update(ended_at=timezone.now())


def end_of_membership(grant, patient):
    Membership.objects.using(WORKER).filter(patient=patient).update(ends_at=timezone.now())


def opt_out(grant, patient):
    OptOut.objects.using(WORKER).create(patient=patient, evidence="a form")


def undo(grant, patient):
    Grant.objects.using(WORKER).filter(pk=grant.pk).update(ended_at=None)
    Membership.objects.using(WORKER).filter(patient=patient).update(ends_at=None)
    OptOut.objects.using(WORKER).all().delete()


def request(seat, path, number, act, *, undo):
    """The answer, the trail's new rows, and whether the request got as far as this statement."""
    before = set(AuditEvent.objects.using("auditor").values_list("id", flat=True))
    with before_statement(number, act) as reached:
        page = seat.get(path)
    undo()
    return page, list(AuditEvent.objects.using("auditor").exclude(id__in=before)), reached() >= number


@pytest.mark.parametrize("act", [end_of_grant, end_of_membership, opt_out])
@pytest.mark.parametrize("path", ["", "results/", "timeline/", "print/"])
def test_what_ends_meanwhile_gives_a_whole_page_or_none(seat, patient, everything, act, path):
    make.make_resource(patient, Section.PROBLEMS, body={"code": coded("Asthma")})
    observation(patient, "Sodium", 140, code="1")
    act, back = partial(act, everything, patient), partial(undo, everything, patient)
    wrong, number, reached, answers = [], 0, True, set()
    while reached:
        number += 1
        page, written, reached = request(seat, f"/patients/{patient.pk}/{path}", number, act, undo=back)
        bases = [bool(event.basis) for event in written if event.type == "record-opened"]
        whole = page.status_code == 200 and ("Sodium" if path == "results/" else "Asthma") in text_of(page)
        answers.add(page.status_code)
        # Written down once and with its basis when it was shown, as a refusal when it was not.
        if (page.status_code, whole, bases) not in [(200, True, [True]), (404, False, [])]:
            wrong.append(f"statement {number}: {page.status_code}, whole: {whole}, bases: {bases}")
        if page.status_code == 404 and [event.type for event in written] != ["record-refused"]:
            wrong.append(f"statement {number}: {[event.type for event in written]}")
    assert not wrong, "\n".join(wrong)
    assert answers == {200, 404}
