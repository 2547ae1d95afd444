"""What stands beside the main lists (dispenses, devices, appointments and the like), from the importer to the pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from clinicportal.models import AuditEvent
from records.chart import further
from records.display import entries
from records.display.news import COUNTED
from records.models import Grant, Look, Resource, Section
from records.sections import BY_TYPE
from tests import factories as make
from tests.factories import WORKER
from tests.records.feeds import Feed, about, labelled, patient
from tests.records.samples import SAMPLES, sample
from tests.records.test_chart import counted, everything, seat, text_of

__all__ = ["everything", "seat"]


@pytest.fixture
def record(feed: Feed, guest, organisation, seat) -> str:
    """The address of a record with one of each."""
    feed.send(patient(), *map(sample, SAMPLES))
    make.make_grant(guest, patient=feed.patient(), organisation=organisation, sections=Section.values)
    return f"/patients/{feed.patient().pk}/"


def shown(seat, address: str) -> str:
    answer = seat.get(address)
    assert answer.status_code == 200, address
    return text_of(answer)


PAGES = {
    "problems/": (
        "Clinical impressions", "Initial assessment", "Likely a bruise", "Bruised hip and X-ray",
        "Family history", "Mother", "Breast cancer, at 50 years of age", "Died: at 70 years of age", "Dr. Ronald Bone",
    ),
    "medicines/": (
        "Last dispensed 04-Jan-2026 , 28 tablets for 28 days", "Dispensed and given", "Substituted",
        "1 g, 100 mL per hour, intravenous, left arm", "One each morning", "High Street",
    ),
    "procedures/": (
        "Devices and implants", "Cardiac pacemaker Left chest For AV block Implanted In use Use of a device 01-Mar",
        "Acme Beat 7, Acme Hearts, AH-7", "Serial number SN-778", "MR conditional",
    ),
    "encounters/": (
        "Appointments", "Heart clinic To come", "For Chest pain and Palpitations", "Booked", "04-May-2030", "Ward 7",
        "Episodes of care", "Home nursing", "For Leg ulcer", "Goes on", "Northfield nurses",
    ),
    "results/": ("Imaging", "CT head", "CT, Head Left", "For Fall", "Available", "Dr. Ronald Bone"),
    "documents/": ("Discharge from ward 7", "Form: falls", "Questions and answers", "The patient"),
    "immunisations/": ("Recommended vaccines", "Tetanus", "Due from 01-Jul-2026", "Health office"),
    "timeline/": (
        "Appointment", "Heart clinic", "Episode of care", "Imaging study", "CT head", "Dispensed", "Amlodipine 5 mg",
        "Clinical impression", "Family history", "Use of a device", "Form: falls", "Discharge from ward 7",
    ),
    "all/relatives/": ("Nora Kin", "Daughter", "0100 5553"),
}  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_each_page_shows_what_stands_beside_its_list(record, seat, path):
    with counted() as statements:
        seen = shown(seat, record + path)
    assert [said for said in PAGES[path] if said not in seen] == []
    assert statements.total() <= 12
    assert "Secret Name" not in seen  # a relative's own


DETAILS = {
    "Appointment": ("11:00", "Follow-up", "Cardiology", "With ECG", "Interpreter booked", "Bring your medicines"),
    "ClinicalImpression": ("Seen after a fall", "Likely a bruise", "Good", "Bruised hip Seen", "Reviewed by the team"),
    "Device": ("AH-7", "L-9", "0844", "(01)0844(21)SN-778", "01-Jan-2019", "01-Jan-2031", "Checked each year"),
    "DeviceUseStatement": ("Cardiac pacemaker", "Left chest", "AV block", "02-Mar-2020", "Implanted"),
    "EpisodeOfCare": ("Team 3", "Leg ulcer Main", "Dr. Ronald Bone"),
    "FamilyMemberHistory": ("Female", "1940", "70 years", "Screening", "Died of it", "Told by her sister"),
    "ImagingStudy": ("CT of the head", "120, kept at the source", "Dr. Ferry", "4 Axial Head Left 120", "No contrast"),
    "ImmunizationRecommendation": ("Tetanus Due Due from 01-Jul-2026 4 Ten years",),
    "MedicationAdministration": ("1 g", "100 mL per hour", "1 g by drip", "08:10", "Pain", "Slept after it"),
    "MedicationDispense": ("28 tablets", "First fill", "Daughter", "Other brand", "In a box", "03-Jan-2026"),
    "RelatedPerson": ("Nora Kin", "Daughter", "0100 5553", "01-Jan-2020"),
}  # fmt: skip
PAGE_OF = {type: kind.here for kind in (*further.KINDS.values(), further.OF_RESULTS) for type in kind.types}


def address_of(feed: Feed, record: str, type: str) -> str:
    return f"{record}{PAGE_OF[type]}/entry/{feed.resource(f'{type}/x-{type}').pk}/"


def test_each_entry_has_a_page_of_its_own(record, seat, feed):
    for type, expected in DETAILS.items():
        seen = shown(seat, address_of(feed, record, type))
        assert [said for said in expected if said not in seen] == [], type
        assert "Main site" in seen  # the source
        assert "Secret Name" not in seen


def test_a_form_is_read_as_questions_and_answers_and_a_composition_by_its_sections(record, seat, feed):
    form = shown(seat, f"{record}documents/{feed.resource('QuestionnaireResponse/x-QuestionnaireResponse').pk}/")
    asked = "Do you live alone? Yes How often did you fall? 3 When last? 01-Jan-2026 Weight 70.5 kg 1.4 Stick and frame"
    assert asked in form
    assert "Anything else? Not answered" in form
    answer = seat.get(f"{record}documents/{feed.resource('Composition/x-Composition').pk}/")
    assert (
        "Walked &amp;lt;b&amp;gt;well" in answer.content.decode() or "Walked &lt;b&gt;well" in answer.content.decode()
    )
    letter = text_of(answer)
    assert "02-Jan-2026 to 09-Jan-2026" in letter
    assert "2 entries. Look for them on the other pages" in letter
    assert "None pending" in letter


def test_every_type_of_a_section_is_drawn_somewhere():
    """But Lists, Provenances and Binaries, which repeat or hold what others draw: no section is of their type."""
    drawn_elsewhere = {
        "Patient", "Condition", "MedicationRequest", "MedicationStatement", "AllergyIntolerance", "Immunization",
        "Procedure", "Encounter", "DocumentReference", "CarePlan", "CareTeam", "Goal", "ServiceRequest",
        "NutritionOrder", "Composition", "QuestionnaireResponse",
    }  # fmt: skip
    assert set(BY_TYPE) == drawn_elsewhere | set(PAGE_OF)
    assert set(entries.MAKERS) == set(PAGE_OF)
    for kind in (*further.KINDS.values(), further.OF_RESULTS):
        assert {BY_TYPE[type] for type in kind.types} == {kind.section}


def test_what_is_withdrawn_is_struck_through_on_each_page(record, seat, feed):
    feed.send(*(sample(type, status="entered-in-error") for type in SAMPLES if "status" in SAMPLES[type]))
    for path, titles in {
        "problems/": ("Initial assessment", "Mother"), "medicines/": ("Paracetamol",), "results/": ("CT head",),
        "procedures/": ("Cardiac pacemaker",), "encounters/": ("Heart clinic", "Home nursing"),
        "documents/": ("Discharge from ward 7", "Form: falls"),
    }.items():  # fmt: skip
        body = seat.get(record + path).content.decode()
        for title in titles:
            assert f"<del><bdi>{title}</bdi></del>" in body, (path, title)
        assert "Entered in error" in body
    for type in DETAILS.keys() - {"ImmunizationRecommendation", "RelatedPerson"}:
        assert "The source withdrew this entry." in shown(seat, address_of(feed, record, type)), type


def test_an_appointment_says_whether_it_is_to_come_and_what_came_of_it(record, seat, feed):
    for status, start, said in (
        ("booked", "2020-01-02T10:00:00Z", "Outcome not recorded"),
        ("noshow", "2020-01-02T10:00:00Z", "Did not attend"), ("fulfilled", "2020-01-02T10:00:00Z", "Took place"),
        ("cancelled", "2031-01-02T10:00:00Z", "Cancelled"), ("proposed", "2031-01-02T10:00:00Z", "To come"),
    ):  # fmt: skip
        feed.send(sample("Appointment", status=status, start=start))
        seen = shown(seat, f"{record}all/appointments/")
        assert said in seen
        assert ("To come" in seen) == (status == "proposed")


def test_a_page_without_them_says_which_it_has_none_of(feed, guest, organisation, seat):
    feed.send(patient())
    make.make_grant(guest, patient=feed.patient(), organisation=organisation, sections=Section.values)
    record = f"/patients/{feed.patient().pk}/"
    assert "Not recorded in this view: clinical impressions, family history." in shown(seat, f"{record}problems/")
    assert "Not recorded in this view: dispensed and given." in shown(seat, f"{record}medicines/")
    for name, kind in further.KINDS.items():
        assert f"Not recorded. {kind.nothing}" in shown(seat, f"{record}all/{name}/")


def test_lists_of_them_go_on_and_the_page_shows_the_newest(record, seat, feed, monkeypatch):
    days = [f"2025-03-{day:02}" for day in range(1, 29)]
    feed.send(*(sample("ClinicalImpression", id=f"i{day}", effectiveDateTime=day, code={"text": day}) for day in days))
    page = seat.get(f"{record}problems/").content.decode()
    assert page.count("/problems/entry/") == further.FEW + 1  # and the one of the family
    assert f'href="{record}all/impressions/"' in page
    monkeypatch.setattr(further.row_lists, "PAGE", 20)
    first = seat.get(f"{record}all/impressions/")
    assert "2025-03-28" in text_of(first)
    assert "2025-03-05" not in text_of(first)
    following = f"?before={feed.resource('ClinicalImpression/i2025-03-10').pk}"
    assert following in first.content.decode()
    assert "2025-03-05" in shown(seat, f"{record}all/impressions/{following}")


def test_doses_of_a_long_stay_hide_no_medicine(record, seat, feed, monkeypatch):
    """They are not read among what is prescribed, of which a page shows all."""
    monkeypatch.setattr("records.chart.rows.MOST_CURRENT", 3)
    given = {"effectivePeriod": None, "effectiveDateTime": "2026-02-01T10:00:00Z"}
    feed.send(*(sample("MedicationAdministration", id=f"a{number}", **given) for number in range(150)))
    seen = shown(seat, f"{record}medicines/")
    assert "Showing 1 of 1 current" in seen
    assert "Last given 01-Feb-2026" in seen


# ----------------------------------------------------------------------------------------------- who sees it


def test_an_entry_of_somebody_else_or_of_another_page_is_404_as_is_none(record, seat, feed, outsider, guest):
    feed.send(patient("p2"), sample("Device", id="other", patient={"reference": "Patient/p2"}))
    theirs, ours = feed.resource("Device/other").pk, feed.resource("Device/x-Device").pk
    nobodys = "00000000-0000-4000-8000-000000000000"
    for path in (
        f"procedures/entry/{theirs}/", f"procedures/entry/{nobodys}/", f"problems/entry/{ours}/",
        f"results/entry/{ours}/", f"timeline/entry/{ours}/", "all/nothing/",
    ):  # fmt: skip
        assert seat.get(record + path).status_code == 404
    stranger = make.client_for(outsider)
    for path in (f"procedures/entry/{ours}/", *(f"all/{name}/" for name in further.KINDS)):
        assert stranger.get(record + path).status_code == 404


def test_what_the_grant_leaves_out_or_withholds_is_not_shown(record, seat, feed, guest):
    feed.send(*(sample(type, meta=labelled("R", "HIV")) for type in DETAILS))
    for path in (*(path for path in PAGES if path != "documents/"), *(f"all/{name}/" for name in further.KINDS)):
        seen = shown(seat, record + path)
        for secret in ("Initial assessment", "Mother", "SN-778", "Heart clinic", "CT head", "High Street", "Nora Kin"):
            assert secret not in seen
    assert {seat.get(address_of(feed, record, type)).status_code for type in DETAILS} == {404}
    Grant.objects.using(WORKER).filter(guest=guest).update(sections=[Section.DEMOGRAPHICS])
    assert "Not in your access." in shown(seat, f"{record}all/devices/")


def test_opening_them_is_written_down_under_their_page(record, seat, feed):
    for type in DETAILS:
        seat.get(address_of(feed, record, type))
    for name in further.KINDS:
        seat.get(f"{record}all/{name}/")
    events = AuditEvent.objects.using("auditor").filter(type="record-opened").order_by("recorded")
    assert [one.section for one in events] == [
        *(PAGE_OF[type] for type in DETAILS),
        *(kind.here for kind in further.KINDS.values()),
    ]


# ------------------------------------------------------------------------------------------------ what is new


def test_what_is_new_of_them_is_counted_and_told(record, seat, feed):
    shown(seat, record)
    Look.objects.using(WORKER).update(at=timezone.now() - timedelta(hours=2))
    Resource.objects.using(WORKER).update(received_at=timezone.now())
    seen = shown(seat, record)
    for said in (
        "New imaging study CT head", "New document Discharge from ward 7", "New appointment Heart clinic",
        "Encounters 2 new", "Procedures 2 new", "Problems 2 new", "Medicines 3 new", "Immunisations 1 new",
    ):  # fmt: skip
        assert said in seen
    assert SAMPLES.keys() - COUNTED == {"RelatedPerson"}


def test_the_plan_and_the_team_are_told_as_new_and_who_wrote_by_name(record, seat, feed):
    """A plan has no place in the timeline; a name that is not in the reference is in none of the entry's own texts."""
    shown(seat, record)
    Resource.objects.using(WORKER).update(received_at=timezone.now() - timedelta(hours=3))
    Look.objects.using(WORKER).update(at=timezone.now() - timedelta(hours=2))
    feed.send(
        {"resourceType": "Practitioner", "id": "d9", "name": [{"text": "Dr. Iris Vale"}]},
        about("CarePlan", "c1", status="active", intent="plan", title="Walk each day"),
        about("CareTeam", "t1", status="active", name="Team of the ward"),
        sample("Composition", id="c2", title="Letter of today", author=[{"reference": "Practitioner/d9"}]),
    )
    seen = shown(seat, record)
    assert "New: Care plan Walk each day" in seen
    assert "New: Care team Team of the ward" in seen
    assert "New document Letter of today Dr. Iris Vale" in seen


def test_many_doses_push_no_other_news_aside(record, seat, feed):
    shown(seat, record)
    Look.objects.using(WORKER).update(at=timezone.now() - timedelta(hours=2))
    feed.send(sample("ImagingStudy", description="CT of the news"))
    feed.send(*(sample("MedicationAdministration", id=f"a{number}") for number in range(60)))
    assert "CT of the news" in shown(seat, record)


def test_the_summary_reads_none_of_them(record, seat):
    """One statement for all that it draws, with three parts beside what is read whole, as before there were any."""
    with counted() as statements:
        shown(seat, record)
    [reading] = [sql for sql in statements if sql.count("UNION ALL") and '"records_resource"."raw"' in sql]
    assert reading.count("UNION ALL") == 3


def test_the_ips_document_lists_devices_and_names_medicines(record, seat, feed, guest, agreement):
    type(agreement).objects.using(WORKER).filter(pk=agreement.pk).update(may_export=True)
    medication = {"resourceType": "Medication", "id": "m1", "code": {"text": "Zaltoprin"}}
    held = {"medicationCodeableConcept": None, "medicationReference": {"reference": "Medication/m1"}}
    feed.send(medication, sample("MedicationRequest", **held))
    guest.proofs = {"c2": timezone.now()}
    taken = make.client_for(guest).post(f"{record}take/")
    assert taken.status_code == 200
    document = taken.json()
    sections = {one["code"]["coding"][0]["code"]: one for one in document["entry"][0]["resource"]["section"]}
    assert len(sections["46264-8"]["entry"]) == 2
    held = {one["resource"]["resourceType"]: one for one in document["entry"]}
    assert held["DeviceUseStatement"]["resource"]["device"]["reference"] == held["Device"]["fullUrl"]
    request = held["MedicationRequest"]["resource"]
    inside = {one["id"]: one for one in request["contained"]}
    assert inside[request["medicationReference"]["reference"][1:]]["code"] == {"text": "Zaltoprin"}
    assert "Medication/m1" not in taken.content.decode()
