"""Names, numbers and the banner's facts."""

from datetime import date
from decimal import Decimal

import pytest

from records.display import banner, identifiers, names

TODAY = date(2026, 6, 1)


def name(**parts):
    return names.of_patient({"name": [parts]})


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ({"family": "Testpatient", "given": ["Alpha"], "prefix": ["Mx"]}, "TESTPATIENT, Alpha (Mx)"),
        ({"family": "Lakin", "given": ["Eddie"], "prefix": ["Mr."]}, "LAKIN, Eddie (Mr)"),
        ({"family": "O'Neill", "given": ["MARY", "ANN"]}, "O'NEILL, Mary Ann"),
        ({"family": "van den Berg", "given": ["jean-luc"]}, "VAN DEN BERG, Jean-Luc"),
        ({"family": "Smith", "given": ["DeShawn"]}, "SMITH, DeShawn"),
        ({"family": "Smith", "given": ["Robert"], "suffix": ["Jr."]}, "SMITH, Robert (Jr)"),
        ({"family": "Johnston597", "given": ["Emery884"]}, "JOHNSTON, Emery"),
        ({"family": "Ward12", "given": ["Alpha"]}, "WARD12, Alpha"),
        ({"family": "Testpatient"}, "TESTPATIENT"),
        ({"given": ["Kenzi"]}, "Kenzi"),
        ({"text": "张无忌"}, "张无忌"),
        ({"family": "محمد", "given": ["أحمد"]}, "محمد, أحمد"),
        ({"family": "Λάκης", "given": ["Νίκος"]}, "ΛΆΚΗΣ, Νίκος"),
    ],
)
def test_a_name_is_family_in_capitals_then_given_then_title(parts, shown):
    assert name(**parts).shown == shown


def test_a_long_name_is_never_cut():
    family = "Testpatient-Verylongfamilyname" * 10
    assert name(family=family, given=["Foxtrot Golf"], prefix=["Dr"]).shown == f"{family.upper()}, Foxtrot Golf (Dr)"


@pytest.mark.parametrize(
    "value", [None, [], "junk", [None], [{}], [{"given": [None, 3]}], [{"family": ["x"]}], {"text": ""}]
)
def test_no_name_is_said_in_words(value):
    read = names.of_patient({"name": value})
    assert (read.shown, read.recorded) == ("Name not recorded", False)


def test_the_current_official_name_leads_and_the_others_follow():
    read = names.of_patient(
        {
            "name": [
                {"use": "maiden", "family": "Windsor", "given": ["Petra"]},
                {"use": "nickname", "given": ["Pet"]},
                {"use": "official", "family": "Old", "given": ["Petra"], "period": {"end": "2002"}},
                {"use": "official", "family": "Chalmers", "given": ["Petra"]},
            ]
        }
    )
    assert read.shown == "CHALMERS, Petra"
    assert read.preferred == "Pet"
    assert set(read.others) == {"WINDSOR, Petra", "OLD, Petra"}


def test_a_direction_override_in_a_name_is_taken_out():
    assert name(family="Smith\u202e", given=["\u2066Ann\u2069"]).shown == "SMITH, Ann"


@pytest.mark.parametrize(
    ("display", "shown"),
    [("Dr. Alva958 Gleichner915", "Dr. Alva Gleichner"), ("Ward B12", "Ward B12"), (None, ""), (["x"], "")],
)
def test_synthetic_digits_are_dropped_from_a_persons_display(display, shown):
    assert names.person(display) == shown


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("female", "Female"),
        ("other", "Other"),
        ("unknown", "Not known"),
        (None, "Not known"),
        ("x", "Not known"),
        (1, "Not known"),
    ],
)
def test_gender_is_a_word(code, word):
    assert names.gender({"gender": code}) == word


MRN = {"type": {"coding": [{"code": "MR"}]}, "system": "https://mrn.example", "value": "0000000001"}


def test_the_mrn_is_grouped_and_its_label_names_who_gave_it():
    read = identifiers.of_patient({"identifier": [{"system": "x", "value": "9"}, MRN]}, "Main site")
    assert (read.label, read.shown, read.value) == ("MRN, Main site", "000 000 0001", "0000000001")


def test_the_facilitys_own_system_comes_before_another_mrn():
    other = {**MRN, "system": "https://other.example", "value": "0000000002"}
    read = identifiers.of_patient({"identifier": [other, MRN]}, system="https://mrn.example")
    assert read.value == "0000000001"


def test_the_assigner_is_named_rather_than_the_facility():
    held = {**MRN, "assigner": {"display": "Elsewhere"}}
    assert identifiers.of_patient({"identifier": [held]}, "Main site").label == "MRN, Elsewhere"


@pytest.mark.parametrize("kind", ["SS", "DL", "PPN"])
def test_a_passport_or_social_security_number_is_never_shown(kind):
    held = {"type": {"coding": [{"code": kind}]}, "value": "999-53-4137"}
    assert identifiers.of_patient({"identifier": [held]}).shown == "Not known"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("943 476 5919", "943 476 5919"),
        ("943-476-5919", "943 476 5919"),
        ("12345", "12345"),
        ("AB60001", "AB60001"),
    ],
)
def test_only_ten_digits_are_grouped(value, shown):
    assert identifiers.group(value) == shown


def test_the_living_have_an_age_and_the_dead_an_age_at_death():
    living = banner.of({"birthDate": "1945-07-14"}, TODAY)
    assert (living.born.text, living.age, living.deceased) == ("14-Jul-1945", "80y", False)
    dead = banner.of({"birthDate": "1935-01-19", "deceasedDateTime": "2026-03-02"}, TODAY)
    assert (dead.age, dead.died and dead.died.text, dead.age_at_death) == ("", "02-Mar-2026", "91y")


@pytest.mark.parametrize(
    ("deceased", "is_deceased"),
    [
        ({"deceasedBoolean": True}, True),
        ({"deceasedBoolean": False}, False),
        ({"deceasedDateTime": "junk"}, True),
        ({}, False),
    ],
)
def test_a_death_without_a_date_is_still_shown(deceased, is_deceased):
    who = banner.of({"birthDate": "1935-01-19", **deceased}, TODAY)
    assert who.deceased is is_deceased
    assert who.age_at_death == ("Not known" if is_deceased else "")


def test_an_unknown_birth_date_is_said_in_words():
    assert banner.of({}, TODAY).born.text == "Not known"
    assert banner.of({"_birthDate": {"extension": []}}, TODAY).age == ""


def test_age_for_ranges_is_in_years():
    assert banner.person({"birthDate": "2016-06-01", "gender": "male"}, TODAY).age == pytest.approx(
        Decimal(10), abs=Decimal("0.01")
    )
    assert banner.person({"birthDate": "2016"}, TODAY).age is None


def test_address_and_contacts_are_labelled():
    held = banner.address_and_contacts(
        {
            "address": [{"use": "home", "line": ["1 High Street"], "city": "Town"}],
            "telecom": [{"system": "phone", "use": "mobile", "value": "0123"}, {"system": "email"}],
            "contact": [{"relationship": [{"coding": [{"code": "N"}]}], "name": {"family": "Kin", "given": ["Next"]}}],
        }
    )
    assert [(c.label, c.text) for c in held] == [
        ("Home address", "1 High Street, Town"),
        ("Telephone, mobile", "0123"),
        ("Next of kin", "KIN, Next"),
    ]
