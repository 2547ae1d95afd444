"""What leaves the portal: paper, a summary as data, files. Nothing does that the reader's rights don't cover."""

from __future__ import annotations

import json

from django.db import connection
from django.test import Client

from clinicportal.models import AuditEvent
from records.models import Agreement, Resource, Section
from tests import factories as make
from tests.records.test_chart import coded, everything, seat, text_of
from tests.records.test_record_pages import document, may_export, proved

__all__ = ["everything", "may_export", "proved", "seat"]
WORKER = "worker"
PDF = ("application/pdf", b"%PDF-1.7 ...")


def events(type: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.using("auditor").filter(type=type))


def take(seat: Client, patient):
    return seat.post(f"/patients/{patient.pk}/take/")


def bodies(answer) -> list[dict]:
    return [entry["resource"] for entry in json.loads(answer.content)["entry"]]


def test_the_right_to_take_away_holds_for_the_facilities_of_its_agreement(
    proved, guest, organisation, agreement, grant, patient, everything
):
    elsewhere = make.make_facility("North site")
    make.make_agreement(organisation, elsewhere, may_export=True)
    make.make_resource(patient, Section.DEMOGRAPHICS, "Patient")
    answer = take(proved, patient)
    assert answer.status_code == 403
    assert "does not include taking records away" in text_of(answer)
    assert events("record-taken") == []


def test_what_one_agreement_keeps_here_does_not_leave_by_the_right_of_another(
    proved, organisation, facility, patient, may_export
):
    make.make_resource(patient, Section.DEMOGRAPHICS, "Patient")
    make.make_agreement(organisation, facility, may_export=False)
    assert take(proved, patient).status_code == 403
    Agreement.objects.using(WORKER).update(may_export=True)
    assert take(proved, patient).status_code == 200


def test_what_can_not_be_taken_is_not_written_down_as_taken(proved, patient, may_export):
    assert take(proved, patient).status_code == 403, "the text of the Patient is not in the access"
    assert events("record-taken") == []


def test_nothing_of_a_review_leaves_the_portal(guest, agreement, grant, patient):
    reviewer = make.make_user("Clinical Reviewer", staff_roles=["reviewer"], roles_checked_at=make.days(0))
    emergency = make.make_emergency(guest, patient)
    held = document(patient, PDF)
    office = make.client_for(reviewer)
    assert office.post(f"/reviews/{emergency.pk}/open/").status_code == 302
    address = f"/patients/{patient.pk}/documents/{held.pk}/file/0/"
    assert office.get(address).status_code == 200
    answer = office.get(address + "?take=1")
    assert answer.status_code == 403
    assert events("record-taken") == []


def test_references_leave_without_what_names_something_that_does_not(proved, patient, may_export):
    make.make_resource(patient, Section.DEMOGRAPHICS, "Patient")
    hidden = {
        "reference": "Encounter/9",
        "identifier": {"value": "VISIT-77"},
        "display": "A visit to the clinic",
    }
    known = {"reference": "Practitioner/3", "display": "Dr Ann Onymous", "identifier": {"value": "GMC-1"}}
    make.make_resource(
        patient,
        body={"code": coded("Asthma"), "encounter": hidden, "recorder": known, "asserter": {"display": "A nurse"}},
    )
    [problem] = [body for body in bodies(take(proved, patient)) if body["resourceType"] == "Condition"]
    assert problem["encounter"] == {"type": "Encounter"}
    assert problem["recorder"] == {"type": "Practitioner", "display": "Dr Ann Onymous"}
    assert problem["asserter"] == {"display": "A nurse"}


def test_what_is_labelled_while_a_page_is_printed_stays_off_the_paper(seat, guest, patient, agreement):
    """The first statement reads it, then it is labelled: the one that asks what may be on paper does not see it."""
    make.make_resource(patient, Section.PROBLEMS, body={"code": coded("Asthma")})
    held = make.make_resource(patient, Section.PROBLEMS, body={"code": coded("Secret")})
    assert "Secret" in text_of(seat.get(f"/patients/{patient.pk}/print/"))

    def label(execute, sql, params, many, context):
        if "labelled_by" in sql:
            Resource.objects.using(WORKER).filter(pk=held.pk).update(classes=["other"], labelled_by=["request other"])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(label):
        printed = seat.get(f"/patients/{patient.pk}/print/")
    assert "Asthma" in text_of(printed)
    assert "Secret" not in text_of(printed)
