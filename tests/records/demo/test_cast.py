"""The patients who are there for a reason are there, and show what they are there for."""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter, defaultdict
from datetime import date

import pytest

from records.demo import PARTNERS
from records.demo.people import national_number

from .conftest import TODAY, Json, World, labels_of, patient_of


def codes(resource: Json) -> set[str]:
    """Codes of what the resource is about."""
    concept = resource.get("code") or resource.get("medicationCodeableConcept") or {}
    return {coding["code"] for coding in concept.get("coding", ())}


def all_codes(resources: list[Json]) -> set[str]:
    return {code for resource in resources for code in codes(resource)}


# People


def test_ages_run_from_days_to_a_hundred_years(world: World) -> None:
    assert world.patient("newborn")["birthDate"] == "2026-11-20"
    assert 2026 - int(world.patient("centenarian")["birthDate"][:4]) >= 100


def test_all_gender_codes_and_a_missing_one(world: World) -> None:
    patients = [made for made in world.current() if made["resourceType"] == "Patient"]
    assert {made.get("gender") for made in patients} == {"female", "male", "other", "unknown", None}
    missing = world.patient("birth-unknown")
    assert missing["_gender"]["extension"][0]["valueCode"] == "asked-unknown"


def test_the_dead_have_a_date_or_only_the_fact(world: World) -> None:
    assert world.patient("deceased-dated")["deceasedDateTime"] < TODAY.isoformat()
    assert world.patient("deceased-undated")["deceasedBoolean"] is True
    died = world.patient("deceased-dated")["deceasedDateTime"][:10]
    assert all(visit["period"]["start"][:10] <= died for visit in world.chart("deceased-dated", "Encounter"))


def test_a_merged_pair_points_at_each_other(world: World) -> None:
    kept, away = world.patient("merged-kept"), world.patient("merged-away")
    assert (kept["active"], away["active"]) == (True, False)
    assert kept["link"] == [{"other": {"reference": f"Patient/{away['id']}"}, "type": "replaces"}]
    assert away["link"] == [{"other": {"reference": f"Patient/{kept['id']}"}, "type": "replaced-by"}]
    assert "name" not in away


def test_birth_dates_come_whole_in_part_or_not_at_all(world: World) -> None:
    assert re.fullmatch(r"\d{4}", world.patient("birth-year-only")["birthDate"])
    assert re.fullmatch(r"\d{4}-\d\d", world.patient("birth-month-only")["birthDate"])
    unknown = world.patient("birth-unknown")
    assert "birthDate" not in unknown
    assert unknown["_birthDate"]["extension"][0]["valueCode"] == "asked-unknown"


def test_names_are_of_many_kinds(world: World) -> None:
    def family(key: str) -> str:
        return world.patient(key)["name"][-1]["family"]

    assert "name" not in world.patient("no-name")
    assert "Ł" in family("diacritics")
    assert "'" in family("apostrophe")
    assert len(family("long-name")) > 80
    extensions = world.patient("two-families")["name"][0]["_family"]["extension"]
    assert [found["url"].rsplit("-", 2)[-2] for found in extensions] == ["fathers", "mothers"]
    for key, script in (("arabic-script", "؀-ۿ"), ("han-script", "一-鿿"), ("cyrillic-script", "Ѐ-ӿ")):
        written, latin = world.patient(key)["name"]
        assert re.fullmatch(f"[{script}]+", written["family"])
        assert latin["family"].isascii()


def test_two_patients_are_easily_confused(world: World) -> None:
    one, two = world.patient("similar-one"), world.patient("similar-two")
    assert one["name"][0]["given"] == two["name"][0]["given"]
    assert one["name"][0]["family"].replace("ss", "s") == two["name"][0]["family"].replace("ss", "s")
    assert abs((date.fromisoformat(one["birthDate"]) - date.fromisoformat(two["birthDate"])).days) == 1


@pytest.mark.parametrize(
    ("here", "there"), [("two-sites-main", "two-sites-north"), ("two-sites-clinic", "two-sites-other")]
)
def test_two_people_are_patients_at_two_facilities(world: World, here: str, there: str) -> None:
    one, other = world.patient(here), world.patient(there)
    assert one["id"] != other["id"]
    assert (one["name"], one["birthDate"], one["gender"]) == (other["name"], other["birthDate"], other["gender"])
    assert one["identifier"][1] == other["identifier"][1]
    assert one["identifier"][0] != other["identifier"][0]


def test_a_link_to_another_facility_names_the_number_there(world: World) -> None:
    link = world.patient("two-sites-main")["link"][0]
    number = world.patient("two-sites-north")["identifier"][0]
    assert link["other"]["identifier"] == {"system": number["system"], "value": number["value"]}
    assert "link" not in world.patient("two-sites-clinic")


def test_national_numbers_are_valid_distinct_and_from_the_test_range() -> None:
    numbers = [national_number(human) for human in range(5000)]
    assert len(set(numbers)) == 5000
    for number in numbers[:200]:
        assert number.startswith("999")
        total = sum(int(digit) * weight for digit, weight in zip(number, range(10, 1, -1), strict=False))
        assert (11 - total % 11) % 11 == int(number[9])


# Caseloads


def ties(world: World) -> dict[str, set[tuple[str, str]]]:
    """Partner and basis for each patient, read from the resources alone, as an importer must."""
    partners = {
        made["id"]: made["identifier"][0]["value"]
        for made in world.current()
        if made["resourceType"] == "Organization"
        and made.get("identifier", [{}])[0].get("system") == "urn:clinicportal:partner"
    }
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for made in world.current():
        patient = patient_of(made)
        stay = made.get("hospitalization", {})
        for basis, places in {
            "registration": made.get("generalPractitioner", []),
            "encounter": [made.get("serviceProvider"), stay.get("origin"), stay.get("destination")],
            "care-team": made.get("managingOrganization", []) if made["resourceType"] == "CareTeam" else [],
            "referral": [*made.get("performer", []), made.get("requester")]
            if made["resourceType"] == "ServiceRequest"
            else [],
        }.items():
            for place in places:
                key = (place or {}).get("reference", "/").split("/")[1]
                if patient and key in partners:
                    found[patient].add((partners[key], basis))
    return found


def test_the_partners_are_known_by_the_same_identifier_in_every_source(world: World) -> None:
    for resources in world.sources.values():
        found = {
            made["identifier"][0]["value"]: made["name"]
            for made in resources
            if made["resourceType"] == "Organization"
            and made.get("identifier", [{}])[0].get("system") == "urn:clinicportal:partner"
        }
        assert found == PARTNERS


def test_the_data_say_which_partner_looks_after_whom(world: World) -> None:
    found = ties(world)
    bases = Counter(tie for of_patient in found.values() for tie in of_patient)
    for tie in (
        ("northfield", "registration"),
        ("riverside", "referral"),
        ("riverside", "encounter"),
        ("riverside", "care-team"),
        ("willowcourt", "encounter"),
        ("willowcourt", "care-team"),
    ):
        assert bases[tie] >= 1, tie
    partners = Counter(len({partner for partner, _ in of_patient}) for of_patient in found.values())
    assert partners[1] >= 10
    assert partners[2] >= 8
    assert partners[3] >= 1
    assert len(found) < 48


def test_each_partner_may_see_someone_and_not_everyone_at_each_facility(world: World) -> None:
    found = ties(world)
    for name, resources in world.sources.items():
        patients = {made["id"] for made in resources if made["resourceType"] == "Patient"}
        for partner in PARTNERS:
            seen = {patient for patient in patients if partner in {who for who, _ in found[patient]}}
            assert seen, (name, partner)
            assert patients - seen, (name, partner)


def test_ties_that_ended_say_so(world: World) -> None:
    team = world.chart("tie-ended", "CareTeam")[0]
    assert team["status"] == "inactive"
    assert team["period"]["end"] < "2025"
    assert {made["status"] for made in world.chart("tie-ended", "ServiceRequest")} == {"completed"}


# Visits, vital signs, results


def test_most_patients_have_between_five_and_twenty_five_ordinary_visits(world: World) -> None:
    counts = [
        sum(made["resourceType"] == "Encounter" and not labels_of(made) for made in chart)
        for chart in world.of_patient.values()
    ]
    assert sum(5 <= count <= 25 for count in counts) >= 42
    classes = {made["class"]["code"] for made in world.current() if made["resourceType"] == "Encounter"}
    assert classes == {"AMB", "EMER", "IMP", "VR"}


def test_someone_is_in_hospital_now(world: World) -> None:
    now = [visit for visit in world.chart("in-hospital", "Encounter") if visit["status"] == "in-progress"]
    assert len(now) == 1
    assert "end" not in now[0]["period"]
    preliminary = [made for made in world.chart("in-hospital") if made.get("status") == "preliminary"]
    assert {made["resourceType"] for made in preliminary} == {"Observation", "DiagnosticReport"}


def test_all_vital_signs_and_results_asked_for_are_there(world: World) -> None:
    found = all_codes([made for made in world.current() if made["resourceType"] == "Observation"])
    vitals = "85354-9 8867-4 9279-1 8310-5 2708-6 29463-7 8302-2 39156-5 9843-4"
    labs = "4548-4 2345-7 2160-0 33914-3 718-7 6690-2 777-3 2951-2 2823-3 1742-6 2093-3 13457-7 2085-9 2571-8 3016-3"
    assert set((vitals + " " + labs).split()) <= found


def test_children_grow(world: World) -> None:
    for key in ("infant", "child", "adolescent"):
        heights = sorted(
            (made["effectiveDateTime"], made["valueQuantity"]["value"])
            for made in world.chart(key, "Observation")
            if "8302-2" in codes(made)
        )
        assert len(heights) >= 4
        assert [height for _, height in heights] == sorted(height for _, height in heights)


def test_treatment_shows_in_the_results() -> None:
    """Diabetes: the last haemoglobin A1c is lower than the highest, and higher than in others."""
    world = World(300)
    with_diabetes: list[list[float]] = []
    without: list[list[float]] = []
    for chart in world.of_patient.values():
        sugar = sorted(
            (made["effectiveDateTime"], made["valueQuantity"]["value"])
            for made in chart
            if "4548-4" in codes(made) and "valueQuantity" in made
        )
        if sugar:
            diabetic = any("44054006" in codes(made) for made in chart if made["resourceType"] == "Condition")
            (with_diabetes if diabetic else without).append([value for _, value in sugar])
    peaks = [max(values) - values[-1] for values in with_diabetes if len(values) > 4]
    assert sum(peaks) / len(peaks) > 0.8
    assert min(max(values) for values in with_diabetes if len(values) > 4) > max(values[-1] for values in without)


def test_results_carry_units_ranges_and_flags(world: World) -> None:
    labs = [
        made
        for made in world.current()
        if made["resourceType"] == "Observation" and made["category"][0]["coding"][0]["code"] == "laboratory"
    ]
    flags = Counter(flag["coding"][0]["code"] for made in labs for flag in made.get("interpretation", ()))
    assert flags["N"] > flags["H"] > flags["HH"] >= 2
    assert flags["L"] >= 5
    assert flags["LL"] >= 2
    comparators = {made.get("valueQuantity", {}).get("comparator") for made in labs}
    assert comparators == {None, "<", ">"}
    assert all(
        made["valueQuantity"]["system"].endswith("unitsofmeasure.org") for made in labs if "valueQuantity" in made
    )


def test_the_odd_results_have_every_kind_of_value_and_status(world: World) -> None:
    results = world.chart("result-oddities", "Observation")
    kinds = {name for made in results for name in made if name.startswith("value")}
    assert kinds == {
        "valueQuantity",
        "valueString",
        "valueCodeableConcept",
        "valueInteger",
        "valueRatio",
        "valueRange",
        "valueBoolean",
        "valueDateTime",
        "valueSampledData",
    }
    assert {made["status"] for made in results} == {"final", "cancelled", "corrected", "amended", "entered-in-error"}
    assert [made["dataAbsentReason"]["coding"][0]["code"] for made in results if made["status"] == "cancelled"] == [
        "error"
    ]
    assert any("dataAbsentReason" in part for made in results for part in made.get("component", ()))
    assert world.chart("result-oddities", "Specimen")[0]["status"] == "unsatisfactory"


def test_a_corrected_result_keeps_the_value_before(world: World) -> None:
    corrected = next(made for made in world.chart("result-oddities", "Observation") if made["status"] == "corrected")
    versions = [made for made in world.of_patient[world.ids["result-oddities"]] if made["id"] == corrected["id"]]
    assert [(made["status"], made["valueQuantity"]["value"]) for made in versions] == [
        ("final", 118),
        ("corrected", 138),
    ]


# Problems, medicines, allergies and the rest


def test_problems_come_in_every_state(world: World) -> None:
    problems = [made for made in world.current() if made["resourceType"] == "Condition"]
    states = {made["clinicalStatus"]["coding"][0]["code"] for made in problems if "clinicalStatus" in made}
    assert {"active", "resolved", "remission", "inactive"} <= states
    certainty = {made["verificationStatus"]["coding"][0]["code"] for made in problems}
    assert {"confirmed", "refuted", "entered-in-error"} <= certainty
    assert {"44054006", "59621000", "195967001", "35489007"} <= all_codes(problems)
    assert any("coding" not in made["code"] for made in problems)
    for made in problems:
        if "abatementDateTime" in made:
            assert made["onsetDateTime"] <= made["abatementDateTime"] <= TODAY.isoformat()


def test_medicines_come_with_and_without_dose_and_end_in_every_way(world: World) -> None:
    orders = [made for made in world.current() if made["resourceType"] == "MedicationRequest"]
    statuses = {made["status"] for made in orders}
    assert {"active", "stopped", "completed", "on-hold", "draft", "entered-in-error"} <= statuses
    assert any(made.get("doNotPerform") for made in orders)
    assert any("dosageInstruction" not in made and not made.get("doNotPerform") for made in orders)
    assert any("timing" not in made["dosageInstruction"][0] for made in orders if "dosageInstruction" in made)
    timed = [
        made
        for made in orders
        if made.get("dosageInstruction", [{}])[0].get("timing", {}).get("repeat", {}).get("frequency")
    ]
    assert len(timed) > 0.9 * len(orders)
    stopped = [made for made in world.chart("result-oddities", "MedicationRequest") if made["status"] == "stopped"]
    assert stopped[0]["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"]["end"] >= "2026-11-09"
    assert any(made["resourceType"] == "MedicationStatement" for made in world.current())


def test_whoever_has_diabetes_or_high_blood_pressure_is_treated(world: World) -> None:
    for problem, drug in (("44054006", "861007"), ("59621000", "314076")):
        for chart in world.of_patient.values():
            if problem in all_codes([made for made in chart if made["resourceType"] == "Condition"]):
                assert drug in all_codes([made for made in chart if made["resourceType"] == "MedicationRequest"])


def test_allergies_are_known_absent_or_not_recorded(world: World) -> None:
    of_patient = {
        patient: all_codes([made for made in chart if made["resourceType"] == "AllergyIntolerance"])
        for patient, chart in world.of_patient.items()
    }
    assert of_patient[world.ids["no-allergies"]] == {"716186003"}
    assert Counter(bool(found) for found in of_patient.values())[False] >= 8
    assert all(found == {"716186003"} for found in of_patient.values() if "716186003" in found)
    allergies = [made for made in world.current() if made["resourceType"] == "AllergyIntolerance"]
    assert {kind for made in allergies for kind in made.get("category", ())} >= {"medication", "food", "environment"}
    assert {made.get("criticality") for made in allergies} >= {"high", "low"}


def test_a_vaccination_was_refused(world: World) -> None:
    refused = [made for made in world.chart("child", "Immunization") if made["status"] == "not-done"]
    assert refused[0]["statusReason"]["coding"][0]["code"] == "PATOBJ"
    assert len(world.chart("child", "Immunization")) >= 15


OTHER_TYPES = {
    "Procedure",
    "CarePlan",
    "Goal",
    "CareTeam",
    "FamilyMemberHistory",
    "ServiceRequest",
    "ImagingStudy",
    "Provenance",
    "Specimen",
    "Binary",
    "RelatedPerson",
    "Medication",
    "MedicationDispense",
    "MedicationAdministration",
    "ClinicalImpression",
    "Composition",
    "QuestionnaireResponse",
    "Device",
    "DeviceUseStatement",
    "EpisodeOfCare",
    "Appointment",
    "ImmunizationRecommendation",
}


def test_every_other_type_is_there(world: World) -> None:
    assert {made["resourceType"] for made in world.current()} >= OTHER_TYPES


def test_who_was_never_seen_has_an_empty_chart(world: World) -> None:
    assert {made["resourceType"] for made in world.chart("nothing-recorded")} == {"Patient"}


# Documents


def attachments(resources: list[Json]) -> dict[str, bytes]:
    return {
        attached["contentType"]: b64decode(attached["data"])
        for made in resources
        for attached in (content["attachment"] for content in made["content"])
        if "data" in attached
    }


def test_documents_are_text_pdf_and_a_page_that_wants_to_run(world: World) -> None:
    found = attachments(world.chart("documents", "DocumentReference"))
    assert set(found) == {"text/plain; charset=utf-8", "application/pdf", "text/html"}
    assert b"<script>" in found["text/html"]
    assert b"onerror" in found["text/html"]


def test_the_pdf_is_a_pdf(world: World) -> None:
    """Header, end mark, and a table that gives the place of every object."""
    pdf = attachments(world.chart("documents", "DocumentReference"))["application/pdf"]
    assert pdf.startswith(b"%PDF-1.4\n")
    assert pdf.endswith(b"%%EOF\n")
    start = int(pdf.split(b"startxref\n")[1].split()[0])
    assert pdf[start : start + 5] == b"xref\n"
    offsets = [int(entry[:10]) for entry in pdf[start:].split(b"\n") if entry.endswith(b" n ")]
    assert len(offsets) == 5
    for number, offset in enumerate(offsets, 1):
        assert pdf[offset:].startswith(b"%d 0 obj\n" % number)
    stream = pdf.split(b"stream\n")[1].removesuffix(b"\nend")
    assert len(stream) == int(re.search(rb"/Length (\d+)", pdf)[1])  # type: ignore[index]


def test_one_letter_replaces_another(world: World) -> None:
    documents = world.chart("documents", "DocumentReference")
    new = next(made for made in documents if "relatesTo" in made)
    target = new["relatesTo"][0]["target"]["reference"]
    old = next(made for made in documents if f"DocumentReference/{made['id']}" == target)
    assert (new["status"], new["relatesTo"][0]["code"], old["status"]) == ("current", "replaces", "superseded")


# Sensitive records and consent

SENSITIVE = {"HIV", "SUD", "ETH", "PSY", "PSYTHPN", "SEX", "STD", "SDV", "GDIS"}


def test_every_sensitive_class_is_there_with_a_confidentiality(world: World) -> None:
    seen: Counter[str] = Counter()
    for made in world.current():
        labels = set(labels_of(made))
        if labels & SENSITIVE:
            assert labels & {"R", "V"}
        seen.update(labels & SENSITIVE)
    assert set(seen) == SENSITIVE


def test_a_matter_is_labelled_on_all_that_reveals_it(world: World) -> None:
    labelled = Counter(made["resourceType"] for made in world.chart("hiv") if "HIV" in labels_of(made))
    kinds = ("Condition", "Encounter", "Observation", "DiagnosticReport", "DocumentReference", "MedicationRequest")
    assert all(labelled[kind] for kind in kinds)


def test_only_the_control_has_a_sensitive_code_without_a_label(world: World) -> None:
    sensitive_codes = {
        code
        for made in world.current()
        if set(labels_of(made)) & SENSITIVE
        and made["resourceType"] in ("Condition", "Observation", "MedicationRequest")
        for code in codes(made)
    }
    bare = {
        patient_of(made)
        for made in world.current()
        if patient_of(made) and not labels_of(made) and codes(made) & sensitive_codes
    }
    assert bare == {world.ids["control"]}
    assert len(all_codes(world.chart("control")) & sensitive_codes) >= 8
    assert not any(labels_of(made) for made in world.chart("control"))


def test_one_whole_chart_is_very_restricted(world: World) -> None:
    chart = world.chart("very-restricted")
    assert len(chart) > 20
    assert all("V" in labels_of(made) for made in chart)


def test_some_labels_mean_nothing_to_the_portal(world: World) -> None:
    labels = [tuple(labels_of(made)) for made in world.chart("odd-labels") if "security" in made["meta"]]
    assert set(labels) == {("R", "XTRA7"), ("yellow",), ("",), ("Q",), ("R",), ("V",), ("N",), ("R", "PSY", "ETH")}


@pytest.mark.parametrize("kind", ["DiagnosticReport", "List", "CarePlan"])
def test_an_open_container_holds_a_labelled_part(world: World, kind: str) -> None:
    chart = world.chart("mixed-containers")
    secret = {f"{made['resourceType']}/{made['id']}" for made in chart if "HIV" in labels_of(made)}
    containers = [made for made in chart if made["resourceType"] == kind and not labels_of(made)]
    held = [str(made) for made in containers if any(reference in str(made) for reference in secret)]
    assert held


def test_one_document_is_about_two_patients(world: World) -> None:
    related = [made["context"].get("related") for made in world.chart("newborn", "DocumentReference")]
    assert related == [[{"reference": f"Patient/{world.ids['mother']}"}]]


def test_consents_permit_deny_in_part_and_end(world: World) -> None:
    def provision(key: str) -> Json:
        return world.chart(key, "Consent")[0]["provision"]

    assert provision("agreed")["type"] == "permit"
    assert set(provision("opt-out")) == {"type", "action"}
    assert provision("opt-out")["type"] == "deny"
    assert provision("opt-out-one")["actor"][0]["reference"]["display"] == "Riverside Hospital"
    assert provision("hiv")["securityLabel"][0]["code"] == "HIV"
    ended, withdrawn = world.chart("opt-out-ended", "Consent")
    assert ended["provision"]["period"]["end"] < TODAY.isoformat()
    assert withdrawn["status"] == "inactive"
