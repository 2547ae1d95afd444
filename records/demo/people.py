"""Who the patients are: names, numbers, dates, and the Patient resource."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING

from .cast import CAST, ORDINAL, Role
from .fhir import EXTENSION, Json, absent, hl7, labels, moment, ref, years_before
from .places import BY_NAME, PARTNERS, SOURCES, Source

if TYPE_CHECKING:
    from .chart import Chart

# The range that the NHS keeps for test data: no living person has a number that begins with 999.
NATIONAL_SYSTEM = "https://fhir.nhs.uk/Id/nhs-number"
MERGED = ("merged-kept", "merged-away")


def words(text: str, between: str | None = None) -> list[str]:
    return text.split(between)


FAMILIES = words("""
    Abbott Achterberg Aguilar Ahmed Akande Andersson Baker Bergström Bhatt Bianchi Brânză Carvalho Chaudhry Chen Clarke
    Connolly Çelik Dąbrowska Delgado Dlamini Dubois Edwards Eriksen Fofana Fernández Fischer Gallagher Ghosh Gonçalves
    Hall Haruna Hashimi Hoang Horváth Hughes Iyer Jansen Jovanović Kaur Kimani Kowalczyk Lambert Lewis Mahlangu Marsh
    McAllister Mensah Müller Nakamura Nguyen Nikolaou O'Brien Osei Patel Pereira Popescu Rahman Rossi Saleh Sato
    Schneider Sithebe Smith Söderberg Tamm Tesfaye Thompson Turner Vasquez Walker Weiss Yılmaz Zhang
""")
GIVEN = {
    "female": words("""
        Adaeze Agnieszka Aisha Alice Amara Beatriz Bronagh Carmen Chiara Chloë Deborah Dilara Eleni Emma Fatima Freya
        Grace Hannah Hui Ingrid Isabel Jasmin Joyce Katarína Khadija Laura Leila Lucía Margaret Mei Naledi Nora Olga
        Priya Rosa Ruth Sabine Sofia Thu Valentina Wanjiru Yasmin Zainab
    """),
    "male": words("""
        Abdul Adam Ahmet Alejandro Anders Bilal Callum Carlos Daniel Dimitri Edward Emeka Felix François Gareth George
        Hamza Hiroshi Ivan Jakub James Joao Kofi Kwame Lars Liam Marek Mateo Mohammed Nikhil Oliver Omar Pavel Peter
        Rafael Ravi Samuel Sipho Stefan Tariq Thomas Viktor Wei Yusuf
    """),
}
STREETS = words(
    "Anchor Lane|Beacon Road|Chandler Street|Dockside|Ferry Walk|Lighthouse Road|Mariner Close|Quay Street", "|"
)
TOWNS = (("Harbourtown", "ZZ99 1AA"), ("Northquay", "ZZ99 2BB"), ("Saltmarsh", "ZZ99 3CC"), ("Wick Bay", "ZZ99 4DD"))
LANGUAGES = (
    ("en", "English"),
    ("en", "English"),
    ("pl", "Polish"),
    ("ar", "Arabic"),
    ("es", "Spanish"),
    ("uk", "Ukrainian"),
)

# One in three patients has records that need a grant of their own. Weights: how often each matter is drawn.
TOPIC_WEIGHTS = {
    "depression": 6, "alcohol": 4, "opioids": 3, "sti": 3, "sex": 3, "hiv": 3, "violence": 2, "psychotherapy": 2,
    "genetic": 2,
}  # fmt: skip
TIE_COUNTS = (0, 1, 2, 3)
TIE_WEIGHTS = (25, 45, 20, 10)
BASES = {
    "northfield": ("registration", "registration", "registration", "referral"),
    "riverside": ("referral", "referral", "encounter", "care-team"),
    "willowcourt": ("encounter", "care-team"),
}


@dataclass(frozen=True)
class Tie:
    """Why a partner looks after the patient; `ended` when that is over."""

    partner: str
    basis: str  # registration, referral, encounter, care-team
    ended: bool = False


@dataclass(frozen=True)
class Person:
    ordinal: int
    source: Source
    key: str  # the role in the cast, or nothing
    born: date
    gender: str
    family: str
    given: tuple[str, ...]
    died: date | None
    traits: frozenset[str]
    topics: tuple[str, ...]
    ties: tuple[Tie, ...]
    human: int  # the ordinal under which this human being was first met
    other_names: tuple[Json, ...]

    @property
    def labels(self) -> list[Json]:
        return labels("V") if "chart-v" in self.traits else []

    @property
    def mrn(self) -> str:
        return record_number(self.source, self.ordinal)

    @property
    def national_number(self) -> str:
        return national_number(self.human)


def national_number(human: int) -> str:
    """A valid number (the tenth digit checks the nine before it, modulo 11) from the range for tests."""
    for attempt in range(human * 100, human * 100 + 100):
        digits = f"999{attempt % 1_000_000:06d}"
        check = 11 - sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            return f"{digits}{check % 11}"
    raise AssertionError("one in eleven numbers fails the check, never a hundred in a row")


def record_number(source: Source, ordinal: int) -> str:
    return f"{source.prefix}{ordinal:06d}"


def source_of(ordinal: int) -> Source:
    """Half of the patients belong to the main site, three in ten to the north site, two to the clinic."""
    if ordinal < len(CAST):
        return BY_NAME[CAST[ordinal].source]
    return SOURCES[(0, 1, 0, 2, 0, 1, 0, 2, 0, 1)[ordinal % 10]]


def person(ordinal: int, *, seed: int, today: date) -> Person:
    """The patient with this ordinal, the same for every number of patients."""
    role = CAST[ordinal] if ordinal < len(CAST) else Role("", "", "")
    if role.person_of:
        first = person(ORDINAL[role.person_of], seed=seed, today=today)
        return Person(
            ordinal, source_of(ordinal), role.key, first.born, first.gender, first.family, first.given, first.died,
            frozenset(role.traits), role.topics, parse_ties(role.ties or ()), first.ordinal, (),
        )  # fmt: skip
    rng = Random(f"clinicportal demo person {seed} {ordinal}")  # noqa: S311 - must repeat, must not be secret
    gender = role.gender or rng.choice(("female", "male"))
    age = rng.uniform(1, 96) if role.age is None else role.age + (rng.uniform(0.1, 0.9) if role.age >= 5 else 0)
    born = years_before(today, age)
    if role.key.startswith("similar"):
        born = years_before(today, 48.5) - timedelta(days=role.key == "similar-two")
    if role.key in MERGED:
        born = years_before(today, 52.3)
    traits = set(role.traits)
    if not role.key and rng.random() < 0.05:
        traits.add(rng.choice(("died-dated", "died-undated")))
    dead = {"died-dated", "died-undated"} & traits
    died = today - timedelta(days=rng.randint(20, 90)) if dead else None
    if died and died - timedelta(days=400) < born:
        died, traits = None, traits - dead
    return Person(
        ordinal=ordinal,
        source=source_of(ordinal),
        key=role.key,
        born=born,
        gender=gender,
        family=role.family or rng.choice(FAMILIES),
        given=role.given or given_names(rng, gender),
        died=died,
        traits=frozenset(traits),
        topics=role.topics if role.key else draw_topics(rng, age),
        ties=draw_ties(rng, age) if role.ties is None else parse_ties(role.ties),
        human=ORDINAL["merged-kept"] if role.key == "merged-away" else ordinal,
        other_names=tuple(dict(name) for name in role.names),
    )


def given_names(rng: Random, gender: str) -> tuple[str, ...]:
    pool = GIVEN.get(gender) or GIVEN[rng.choice(("female", "male"))]
    return tuple(rng.sample(pool, rng.choice((1, 1, 2))))


def draw_topics(rng: Random, age: float) -> tuple[str, ...]:
    if age < 16 or rng.random() > 0.4:
        return ()
    names, weights = zip(*TOPIC_WEIGHTS.items(), strict=True)
    return tuple(dict.fromkeys(rng.choices(names, weights, k=rng.choice((1, 1, 1, 2)))))


def draw_ties(rng: Random, age: float) -> tuple[Tie, ...]:
    count = rng.choices(TIE_COUNTS, TIE_WEIGHTS)[0]
    partners = ["northfield", "riverside"] if age < 60 else list(PARTNERS)
    return tuple(Tie(key, rng.choice(BASES[key])) for key in rng.sample(partners, min(count, len(partners))))


def parse_ties(sentences: tuple[str, ...]) -> tuple[Tie, ...]:
    """From "partner basis", with "was" in front of what is over."""
    made = []
    for sentence in sentences:
        partner, basis = sentence.removeprefix("was ").split()
        made.append(Tie(partner, basis, ended=sentence.startswith("was ")))
    return tuple(made)


def add_patient(chart: Chart) -> None:
    who = chart.person
    seen = chart.at(min(who.born + timedelta(days=30), chart.last_day))
    chart.patient = chart.add(
        "Patient",
        seen,
        identifier=identifiers(who),
        active="merged-away" not in who.traits,
        name=None if "no-name" in who.traits else names(who),
        telecom=telecoms(chart),
        gender=None if "gender-absent" in who.traits else who.gender,
        **birth(who),
        deceasedBoolean=True if "died-undated" in who.traits else None,
        deceasedDateTime=moment(chart.at(who.died)) if who.died and "died-dated" in who.traits else None,
        address=addresses(chart),
        contact=contacts(chart),
        communication=communication(chart),
        generalPractitioner=practices(chart),
        managingOrganization=ref(chart.places.facility, who.source.title),
        link=links(chart),
    )
    if "gender-absent" in who.traits:
        chart.patient["_gender"] = absent("asked-unknown")


def identifiers(who: Person) -> list[Json]:
    own: Json = {
        "use": "usual",
        "type": hl7("v2-0203", "MR", "Medical record number"),
        "system": who.source.mrn_system,
        "value": who.mrn,
        "assigner": {"display": who.source.title},
    }
    if "no-name" in who.traits:
        return [own]
    return [own, {"use": "official", "system": NATIONAL_SYSTEM, "value": who.national_number}]


def names(who: Person) -> list[Json]:
    latin: Json = {"use": "usual" if who.other_names else "official", "family": who.family, "given": list(who.given)}
    if "two-families" in who.traits:
        fathers, mothers = who.family.split()
        latin["_family"] = {
            "extension": [
                {"url": EXTENSION + "humanname-fathers-family", "valueString": fathers},
                {"url": EXTENSION + "humanname-mothers-family", "valueString": mothers},
            ]
        }
    return [*who.other_names, latin]


def birth(who: Person) -> Json:
    if "birth-unknown" in who.traits:
        return {"_birthDate": absent("asked-unknown")}
    digits = 4 if "birth-year" in who.traits else 7 if "birth-month" in who.traits else 10
    return {"birthDate": who.born.isoformat()[:digits]}


def telecoms(chart: Chart) -> list[Json] | None:
    """A number from the range that Ofcom keeps for films, an address nobody can own."""
    if chart.has("no-name"):
        return None
    made = [{"system": "phone", "value": f"01632 960{chart.person.human % 1000:03d}", "use": "home"}]
    if chart.chance(0.5):
        made.append({"system": "email", "value": f"patient{chart.person.human}@example.org", "use": "home"})
    return made


def addresses(chart: Chart) -> list[Json] | None:
    if chart.has("no-name"):
        return None
    town, postcode = chart.rng.choice(TOWNS)
    street = f"{chart.rng.randint(1, 180)} {chart.rng.choice(STREETS)}"
    if any(tie.partner == "willowcourt" and not tie.ended for tie in chart.person.ties):
        town, postcode, street = "Harbourtown", "ZZ99 5EE", "Willow Court, 2 Orchard Way"
    return [{"use": "home", "line": [street], "city": town, "postalCode": postcode, "country": "GB"}]


def contacts(chart: Chart) -> list[Json] | None:
    if chart.has("no-name") or not chart.chance(0.4):
        return None
    relation = hl7("v2-0131", "N", "Next of kin")
    name = {"family": chart.person.family, "given": [chart.rng.choice(GIVEN[chart.rng.choice(("female", "male"))])]}
    return [{"relationship": [relation], "name": name, "telecom": [{"system": "phone", "value": "01632 960999"}]}]


def communication(chart: Chart) -> list[Json] | None:
    if chart.has("no-name"):
        return None
    code, word = chart.rng.choice(LANGUAGES)
    language = {"coding": [{"system": "urn:ietf:bcp:47", "code": code, "display": word}], "text": word}
    return [{"language": language, "preferred": True}]


def practices(chart: Chart) -> list[Json] | None:
    """Registration is what puts a patient into a practice's caseload; others have a practice that is no partner."""
    registered = [tie.partner for tie in chart.person.ties if tie.basis == "registration"]
    if registered:
        partner = chart.places.partners[registered[0]]
        return [ref(partner, partner["name"])]
    if chart.has("no-name") or chart.chance(0.3):
        return None
    return [ref(chart.places.elsewhere, chart.places.elsewhere["name"])]


def links(chart: Chart) -> list[Json] | None:
    """A merged pair points at each other; a record at another facility is named by its number there, not by an id."""
    if chart.person.key in MERGED:
        other = chart.member(MERGED[chart.person.key == "merged-kept"])
        relation = "replaces" if chart.has("merged-kept") else "replaced-by"
        return [{"other": other, "type": relation}] if other else None
    if chart.has("linked"):
        other_ordinal = ORDINAL["two-sites-north" if chart.person.key == "two-sites-main" else "two-sites-main"]
        system = source_of(other_ordinal).mrn_system
        value = record_number(source_of(other_ordinal), other_ordinal)
        return [{"other": {"type": "Patient", "identifier": {"system": system, "value": value}}, "type": "seealso"}]
    return None
