"""Problems, allergies, immunisations, procedures, encounters and the timeline."""

from datetime import date

import pytest

from records.display import allergies, encounters, entries, immunisations, problems, procedures, timeline
from records.display.allergies import State

TODAY = date(2026, 6, 1)


def coded(code, text=""):
    return {"coding": [{"code": code}], **({"text": text} if text else {})}


# ---------------------------------------------------------------------------------------------- allergies


def allergy(text="Latex", code="1", *, clinical="active", verified="confirmed", recorded="2026-05-29", **more):
    return allergies.of(
        {
            "resourceType": "AllergyIntolerance",
            "code": coded(code, text),
            "clinicalStatus": coded(clinical),
            "verificationStatus": coded(verified),
            "recordedDate": recorded,
            **more,
        }
    )


NKA = {"text": "NKA", "code": "716186003"}
NKDA = {"text": "NKDA", "code": "409137002"}


@pytest.mark.parametrize(
    ("held", "state", "title"),
    [
        (None, State.UNAVAILABLE, "Allergies unavailable"),
        ([], State.NOT_RECORDED, "Allergies not recorded"),
        ([{}], State.KNOWN, "Known allergies"),
        ([NKA], State.NONE_KNOWN, "No known allergies"),
        ([{}, NKA], State.KNOWN, "Known allergies"),
        # What is said of medicines only is not said of everything.
        ([NKDA], State.NOT_RECORDED, "Allergies not recorded"),
        ([{"code": "no-allergy-info", "text": ""}], State.NOT_RECORDED, "Allergies not recorded"),
        ([{"code": "no-known-allergies", "text": ""}], State.NONE_KNOWN, "No known allergies"),
        # Nothing that is refuted, wrong or over counts, on either side.
        ([{"verified": "refuted"}], State.NOT_RECORDED, "Allergies not recorded"),
        ([{"verified": "entered-in-error"}], State.NOT_RECORDED, "Allergies not recorded"),
        ([{"clinical": "resolved"}], State.NOT_RECORDED, "Allergies not recorded"),
        ([{**NKA, "verified": "refuted"}], State.NOT_RECORDED, "Allergies not recorded"),
        ([{**NKA, "clinical": "inactive"}], State.NOT_RECORDED, "Allergies not recorded"),
        ([{"verified": "unconfirmed"}], State.KNOWN, "Known allergies"),
        ([{"clinical": ""}], State.KNOWN, "Known allergies"),
    ],
)
def test_the_title_is_one_of_four_and_absence_must_be_asserted(held, state, title):
    read = allergies.summarise(None if held is None else [allergy(**one) for one in held])
    assert (read.state, read.title) == (state, title)


@pytest.mark.parametrize("text", ["NKA", "No known allergies", "no known allergy"])
def test_an_assertion_without_a_code_is_understood_too(text):
    said = allergies.of({"code": {"text": text}, "clinicalStatus": coded("active")})
    assert allergies.summarise([said]).state is State.NONE_KNOWN


def test_a_substance_that_only_sounds_like_an_assertion_is_an_allergy():
    assert allergies.summarise([allergy("NKA")]).state is State.KNOWN


def test_a_partial_assertion_is_told_under_the_title():
    read = allergies.summarise([allergy(**NKDA)])
    assert (read.substances, read.items) == ("Code 409137002", ())
    named = allergies.of({"code": {"coding": [{"code": "409137002", "display": "No known drug allergy (situation)"}]}})
    assert allergies.summarise([named]).substances == "No known drug allergy"


def test_a_contradiction_is_noticed():
    assert allergies.summarise([allergy(), allergy(**NKA)]).contradicted
    assert not allergies.summarise([allergy()]).contradicted


def test_the_newest_date_is_the_sections_date_whatever_it_was_about():
    held = [allergy(recorded="2019"), allergy(recorded="2026-05-29", verified="refuted")]
    assert allergies.summarise(held).updated.text == "29-May-2026"
    assert allergies.summarise([]).updated.text == "Date not recorded"


def test_the_gravest_come_first_and_refuted_ones_are_counted():
    held = [
        allergy("Latex"),
        allergy("Penicillin", recorded="1990", criticality="high"),
        allergy("Nut", verified="refuted"),
    ]
    read = allergies.summarise(held)
    assert (read.substances, read.refuted) == ("Penicillin, Latex", 1)
    assert [a.marks[0].word for a in read.withdrawn] == ["Refuted"]


@pytest.mark.parametrize(
    ("reactions", "text"),
    [
        ([{"manifestation": [{"text": "contact rash"}], "severity": "mild"}], "Contact rash, mild"),
        (
            [{"manifestation": [{"text": "hives"}, {"text": "fever"}]}, {"severity": "severe"}],
            "Hives and fever; severe",
        ),
        ([], "Reaction not recorded"),
        ("junk", "Reaction not recorded"),
    ],
)
def test_reactions_are_said_in_words(reactions, text):
    assert allergy(reaction=reactions).reaction == text


def test_the_substance_may_stand_in_the_reaction():
    read = allergies.of({"reaction": [{"substance": {"text": "cashew"}}]})
    assert read.substance == "cashew"
    assert allergies.of({}).substance == "Substance not recorded"


# ----------------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("changes", "active", "stands"),
    [
        ({"clinicalStatus": coded("active")}, True, True),
        ({"clinicalStatus": coded("relapse")}, True, True),
        ({"clinicalStatus": coded("resolved")}, False, True),
        ({"clinicalStatus": coded("remission")}, False, True),
        ({"abatementDateTime": "2020"}, False, True),
        ({}, True, True),
        ({"clinicalStatus": "junk"}, True, True),
        ({"verificationStatus": coded("refuted")}, True, False),
        ({"verificationStatus": coded("entered-in-error")}, True, False),
        ({"verificationStatus": coded("provisional")}, True, True),
    ],
)
def test_a_problem_is_active_past_or_withdrawn(changes, active, stands):
    read = problems.of({"code": {"text": "Asthma"}, **changes})
    assert (read.active, read.stands) == (active, stands)
    arranged = problems.sort([read])
    assert len(arranged.active) == (active and stands)
    assert len(arranged.past) == (stands and not active)
    assert len(arranged.withdrawn) == (not stands)


def test_problems_go_by_newest_onset_and_undated_ones_come_last():
    held = [
        problems.of({"code": {"text": when or "none"}, "onsetDateTime": when}) for when in ("2014", None, "2024-01-08")
    ]
    assert [p.name for p in problems.sort(held).active] == ["2024-01-08", "2014", "none"]


def test_how_sure_a_diagnosis_is_is_marked():
    held = problems.of({"code": {"text": "x"}, "verificationStatus": coded("differential")})
    assert [mark.word for mark in held.marks] == ["Differential diagnosis"]
    assert problems.of({}).name == "Problem not named"


# ---------------------------------------------------------------------- immunisations, procedures, encounters


@pytest.mark.parametrize(
    ("status", "words", "stands"),
    [
        ("completed", [], True),
        ("not-done", ["Not given"], False),
        ("entered-in-error", ["Entered in error"], False),
        (None, ["Status not known"], True),
    ],
)
def test_a_vaccine_that_was_not_given_says_so(status, words, stands):
    read = immunisations.of({"status": status, "vaccineCode": {"text": "DTP"}})
    assert ([mark.word for mark in read.marks], read.stands) == (words, stands)


def test_an_immunisation_without_a_date_says_so():
    read = immunisations.of({"status": "completed", "occurrenceString": "as a child", "primarySource": False})
    assert (read.vaccine, read.given.text, read.source) == (
        "Vaccine not named",
        "as a child",
        "Reported, not seen by the source",
    )
    assert immunisations.of({}).given.text == "Date not recorded"


def test_a_dose_in_a_series_is_counted():
    read = immunisations.of({"protocolApplied": [{"doseNumberPositiveInt": 2, "seriesDosesPositiveInt": 3}]})
    assert read.dose == "dose 2 of 3"
    assert immunisations.of({"protocolApplied": [{"doseNumberString": "booster"}]}).dose == "dose booster"


def test_a_procedure_names_who_where_and_why():
    read = procedures.of(
        {
            "status": "not-done",
            "code": {"text": "Appendectomy"},
            "performedPeriod": {"start": "2021-07-28T19:45:21+00:00"},
            "performer": [{"actor": {"display": "Dr. Alva958 Gleichner915"}}],
            "location": {"display": "Main site"},
            "reasonReference": [{"display": "Pain"}],
        }
    )
    assert (read.name, read.when.whole, read.by, read.where, read.reason) == (
        "Appendectomy", "28-Jul-2021 19:45", "Dr. Alva Gleichner", "Main site", "Pain",
    )  # fmt: skip
    assert [mark.word for mark in read.marks] == ["Not done"]


def test_an_encounter_in_progress_has_not_ended():
    read = encounters.of({"status": "in-progress", "class": {"code": "IMP"}, "period": {"start": "2026-05-30"}})
    assert (read.kind, read.ended.text, read.open) == ("Inpatient", "Not ended", True)


def test_an_encounter_without_an_end_says_that_it_is_not_recorded():
    read = encounters.of({"status": "finished", "class": "junk", "period": {"start": "2026-05-30"}})
    assert (read.kind, read.ended.text) == ("Encounter", "End not recorded")


# ----------------------------------------------------------------------------------------------- timeline


def test_the_timeline_goes_by_day_newest_first_and_undated_entries_come_last():
    resources: list[dict[str, object]] = [
        {"resourceType": "Procedure", "code": {"text": "old"}, "performedDateTime": "2020-01-01T10:00:00Z"},
        {"resourceType": "Immunization", "vaccineCode": {"text": "never"}},
        {"resourceType": "Encounter", "period": {"start": "2026-05-30T08:00:00Z"}, "class": {"code": "AMB"}},
        {
            "resourceType": "Observation",
            "code": {"text": "test"},
            "effectiveDateTime": "2026-05-30T09:00:00Z",
            "valueInteger": 1,
        },
        {"resourceType": "Condition", "code": {"text": "year"}, "onsetDateTime": "2026"},
    ]
    days = timeline.days(filter(None, (timeline.of(r, TODAY) for r in resources)))
    assert [(d.when.text, [e.title for e in d.entries]) for d in days] == [
        ("30-May-2026", ["test", "Outpatient"]),
        ("2026", ["year"]),
        ("01-Jan-2020", ["old"]),
        ("Date not recorded", ["never"]),
    ]


def test_a_type_without_a_place_in_time_has_no_entry():
    assert timeline.of({"resourceType": "Organization"}, TODAY) is None
    assert timeline.of({}, TODAY) is None


def test_a_device_is_not_called_twice_by_its_type():
    """As Synthea writes it."""
    name = {"deviceName": [{"name": "Home nebulizer (physical object)"}], "type": {"text": "Home nebulizer"}}
    held = entries.of({"resourceType": "Device", "serialNumber": "1485", **name}, TODAY)
    assert (held.title, held.lines) == ("Home nebulizer", ("Serial number 1485",))
