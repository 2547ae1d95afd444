"""The patients who are there for a reason: one line for each case that a chart must get right.

The cast comes first (ordinal = place in this list), so that its ids are the same for every number of
patients. Add new members at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from .fhir import identity
from .places import BY_NAME


@dataclass(frozen=True)
class Role:
    """A member of the cast. What is not given is drawn like everyone else's."""

    key: str
    source: str
    why: str
    _: KW_ONLY
    age: float | None = None  # years
    gender: str | None = None
    family: str = ""
    given: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()  # sensitive matters, as named in sensitive.py
    ties: tuple[str, ...] | None = None  # "partner basis", a leading "was" for one that has ended
    person_of: str = ""  # the same human being as another member, at another facility
    names: tuple[dict[str, object], ...] = ()


REGISTERED = "northfield registration"
REFERRED = "riverside referral"
SEEN = "riverside encounter"
TEAM = "riverside care-team"
RESIDENT = "willowcourt encounter"
HOME_TEAM = "willowcourt care-team"

CAST = (
    Role(
        "newborn",
        "main",
        "three days old, still in hospital",
        age=3 / 365.25,
        gender="female",
        family="Baptiste",
        given=("Baby",),
        traits=("in-progress", "newborn"),
        ties=(REGISTERED,),
    ),
    Role(
        "mother",
        "main",
        "the newborn's mother; a document names both patients",
        age=31,
        gender="female",
        family="Baptiste",
        given=("Elodie",),
        ties=(REGISTERED,),
    ),
    Role("infant", "clinic", "nine months, growth since birth", age=0.75, gender="male", ties=(REGISTERED,)),
    Role(
        "child",
        "main",
        "six years, asthma, growth and vaccinations",
        age=6,
        gender="male",
        traits=("asthma",),
        ties=(REGISTERED, REFERRED),
    ),
    Role(
        "adolescent",
        "clinic",
        "fifteen, a visit about contraception",
        age=15,
        gender="female",
        topics=("sex",),
        ties=(REGISTERED,),
    ),
    Role(
        "centenarian",
        "north",
        "a hundred years old, lives in the nursing home",
        age=100,
        gender="female",
        traits=("hypertension", "heart failure"),
        ties=(RESIDENT, HOME_TEAM),
    ),
    Role("gender-other", "clinic", "gender other", age=27, gender="other", topics=("sti",)),
    Role("gender-unknown", "north", "gender unknown", age=44, gender="unknown"),
    Role(
        "deceased-dated",
        "main",
        "died on a known date",
        age=81,
        gender="male",
        traits=("died-dated", "diabetes"),
        topics=("alcohol",),
        ties=(REGISTERED, RESIDENT),
    ),
    Role(
        "deceased-undated",
        "north",
        "known to have died, date unknown",
        age=88,
        gender="female",
        traits=("died-undated",),
        ties=(RESIDENT,),
    ),
    Role(
        "merged-kept",
        "main",
        "the record that replaces a duplicate",
        age=52,
        gender="female",
        family="Novak",
        given=("Irena",),
        traits=("merged-kept",),
        topics=("depression",),
        ties=(REGISTERED,),
    ),
    Role(
        "merged-away",
        "main",
        "the duplicate: inactive, no name, replaced by the one before",
        age=52,
        gender="female",
        traits=("merged-away", "no-name", "no-visits"),
        ties=(),
    ),
    Role(
        "no-name",
        "main",
        "brought in unidentified, no name",
        age=40,
        gender="male",
        traits=("no-name", "emergency-only"),
        ties=(SEEN,),
    ),
    Role(
        "birth-year-only",
        "north",
        "only the year of birth is known",
        age=69,
        gender="male",
        traits=("birth-year",),
        ties=(REFERRED,),
    ),
    Role(
        "birth-month-only",
        "clinic",
        "only year and month of birth are known",
        age=58,
        gender="female",
        traits=("birth-month",),
        ties=(REGISTERED,),
    ),
    Role(
        "birth-unknown",
        "main",
        "birth date and gender asked but unknown",
        age=35,
        gender="unknown",
        traits=("birth-unknown", "gender-absent"),
        ties=(),
    ),
    Role(
        "diacritics",
        "main",
        "diacritics in every part of the name",
        age=46,
        gender="female",
        family="Ångström-Łukasiewicz",
        given=("Zoë", "Šárka"),
        ties=(REGISTERED,),
    ),
    Role(
        "apostrophe",
        "north",
        "apostrophes in both names",
        age=38,
        gender="male",
        family="O'Shaughnessy D'Arcy",
        given=("T'Challa",),
        topics=("alcohol",),
        ties=(REGISTERED, SEEN),
    ),
    Role(
        "two-families",
        "clinic",
        "two family names, told apart by extension",
        age=63,
        gender="male",
        family="Quispe Huamán",
        given=("Teófilo",),
        traits=("two-families", "hypertension"),
        ties=(REFERRED,),
    ),
    Role(
        "arabic-script",
        "main",
        "name in Arabic script and in Latin letters",
        age=50,
        gender="female",
        family="Al-Khatib",
        given=("Salma",),
        names=({"use": "official", "text": "سلمى الخطيب", "family": "الخطيب", "given": ["سلمى"]},),
        ties=(REGISTERED,),
    ),
    Role(
        "han-script",
        "north",
        "name in Chinese characters and in Latin letters",
        age=33,
        gender="male",
        family="Ouyang",
        given=("Minghao",),
        topics=("sti",),
        names=({"use": "official", "text": "欧阳明浩", "family": "欧阳", "given": ["明浩"]},),
        ties=(TEAM,),
    ),
    Role(
        "cyrillic-script",
        "clinic",
        "name in Cyrillic script and in Latin letters",
        age=71,
        gender="female",
        family="Shevchuk",
        given=("Oksana",),
        names=({"use": "official", "text": "Оксана Шевчук", "family": "Шевчук", "given": ["Оксана"]},),
        ties=(REGISTERED, HOME_TEAM),
    ),
    Role(
        "long-name",
        "main",
        "a family name of more than eighty letters",
        age=57,
        gender="female",
        family="Featherstonehaugh-Cholmondeley-Papadimitrakopoulou-Venkatanarasimharajuvaripeta-Goldschmidtbauer",
        given=("Maximiliana-Wilhelmina", "Theodora", "Anastasia"),
        topics=("genetic",),
        ties=(REGISTERED,),
    ),
    Role(
        "similar-one",
        "main",
        "one of two with nearly the same name and birth date",
        age=48,
        gender="female",
        family="Karlsson",
        given=("Anna",),
        ties=(REGISTERED,),
    ),
    Role(
        "similar-two",
        "main",
        "the other of the two",
        age=48,
        gender="female",
        family="Karlson",
        given=("Anna",),
        topics=("violence",),
        ties=(REGISTERED,),
    ),
    Role(
        "two-sites-main",
        "main",
        "also a patient at the north site, same national number",
        age=66,
        gender="male",
        family="Adeyemi",
        given=("Tunde",),
        traits=("linked", "diabetes", "hypertension"),
        ties=(REGISTERED, REFERRED, RESIDENT),
    ),
    Role(
        "two-sites-north",
        "north",
        "the same man's record at the north site",
        person_of="two-sites-main",
        traits=("linked", "diabetes"),
        topics=("depression",),
        ties=(TEAM,),
    ),
    Role(
        "two-sites-clinic",
        "clinic",
        "also a patient at the main site, same national number, no link yet",
        age=29,
        gender="female",
        family="Ferreira",
        given=("Ines",),
        ties=(REGISTERED,),
    ),
    Role("two-sites-other", "main", "the same woman's record at the main site", person_of="two-sites-clinic", ties=()),
    Role(
        "result-oddities",
        "main",
        "every kind of result: text, coded, ratio, range, absent, rejected, corrected",
        age=55,
        gender="male",
        family="Oyelaran",
        given=("Segun",),
        traits=("lab-oddities", "critical", "diabetes", "ckd", "med-oddities"),
        ties=(REGISTERED, REFERRED, HOME_TEAM),
    ),
    Role(
        "documents",
        "main",
        "text, PDF, hostile HTML, a replaced letter, a letter kept apart",
        age=61,
        gender="female",
        family="Grant",
        given=("Moira",),
        traits=("document-oddities", "hypertension"),
        ties=(REGISTERED, TEAM),
    ),
    Role(
        "in-hospital",
        "main",
        "an inpatient now, with a preliminary result",
        age=74,
        gender="male",
        traits=("in-progress", "preliminary", "af"),
        ties=(REGISTERED, RESIDENT),
    ),
    Role(
        "nothing-recorded",
        "clinic",
        "registered, never seen: every section is empty",
        age=24,
        gender="male",
        traits=("no-visits",),
        ties=(REGISTERED,),
    ),
    Role(
        "no-allergies",
        "north",
        "asked, and has no known allergy",
        age=37,
        gender="female",
        traits=("nka",),
        ties=(REGISTERED,),
    ),
    Role(
        "hiv",
        "main",
        "HIV, with viral loads and treatment; refuses to share what is labelled HIV",
        age=42,
        gender="male",
        traits=("deny-label",),
        topics=("hiv",),
        ties=(REGISTERED, REFERRED),
    ),
    Role(
        "substance-use",
        "north",
        "opioid and alcohol dependence",
        age=39,
        gender="male",
        topics=("opioids", "alcohol"),
        ties=(REGISTERED, SEEN),
    ),
    Role(
        "mental-health",
        "clinic",
        "depression and psychotherapy notes",
        age=34,
        gender="female",
        topics=("depression", "psychotherapy"),
        ties=(REGISTERED,),
    ),
    Role(
        "violence",
        "main",
        "abuse by a partner",
        age=30,
        gender="female",
        topics=("violence", "sti"),
        ties=(REGISTERED, SEEN),
    ),
    Role(
        "genetic",
        "north",
        "a genetic disease in the family and in the patient",
        age=45,
        gender="female",
        topics=("genetic",),
        ties=(REFERRED,),
    ),
    Role(
        "control",
        "main",
        "the same sensitive codes as others, without any label",
        age=41,
        gender="male",
        traits=("unlabelled",),
        topics=("hiv", "opioids", "depression", "sti"),
        ties=(REGISTERED, REFERRED),
    ),
    Role(
        "very-restricted",
        "main",
        "the whole chart is very restricted",
        age=53,
        gender="female",
        traits=("chart-v", "short"),
        ties=(REGISTERED,),
    ),
    Role(
        "odd-labels",
        "clinic",
        "an unknown label, a bare restricted one, and a harmless one",
        age=49,
        gender="female",
        traits=("odd-labels",),
        ties=(REGISTERED, REFERRED),
    ),
    Role(
        "mixed-containers",
        "main",
        "an open report, list and provenance that hold a labelled result",
        age=47,
        gender="male",
        traits=("mixed-containers",),
        topics=("hiv",),
        ties=(REGISTERED, REFERRED),
    ),
    Role(
        "opt-out",
        "main",
        "refuses all sharing",
        age=59,
        gender="female",
        traits=("deny-all",),
        ties=(REGISTERED, REFERRED),
    ),
    Role(
        "opt-out-one",
        "north",
        "refuses sharing with one partner",
        age=62,
        gender="male",
        traits=("deny-actor",),
        ties=(REGISTERED, REFERRED),
    ),
    Role(
        "opt-out-ended",
        "main",
        "refused once; the refusal has ended",
        age=67,
        gender="female",
        traits=("deny-ended",),
        ties=(REGISTERED, HOME_TEAM),
    ),
    Role(
        "agreed",
        "clinic",
        "a written agreement to share",
        age=36,
        gender="male",
        traits=("permit",),
        ties=(REGISTERED,),
    ),
    Role(
        "tie-ended",
        "north",
        "partners looked after this patient once, none does now",
        age=76,
        gender="male",
        ties=("was riverside referral", "was willowcourt care-team", "was riverside encounter"),
    ),
)
ORDINAL = {role.key: ordinal for ordinal, role in enumerate(CAST)}


def patient_id(seed: int, ordinal: int) -> str:
    return identity(seed, ordinal, "Patient", 0)


def cast(seed: int = 1) -> Iterator[tuple[str, str, str, str]]:
    """Key, name of the source, Patient id at that source, and why they are there."""
    for ordinal, role in enumerate(CAST):
        yield role.key, BY_NAME[role.source].name, patient_id(seed, ordinal), role.why
