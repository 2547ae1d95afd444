"""What is new about a patient in a list, in words: "3 new results, 1 medicine stopped", with the worst flag."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import ngettext

from records.display import fhir, results
from records.display.marks import NO_FLAG, Flag


@dataclass(frozen=True)
class News:
    """A resource that is new or changed since then."""

    id: UUID
    type: str
    section: str
    status: str
    number: int
    raw: str
    patient: UUID | None = None
    medication: str = ""
    """What the Medication says that it refers to (records/display/medicines.py, `holding`)."""

    @property
    def counts(self) -> bool:
        """Whether the menu counts it: a report repeats its results, a Patient is no news in a section."""
        return self.type in COUNTED

    @property
    def changed(self) -> bool:
        return self.number > 1


COUNTED = {
    "Observation", "MedicationRequest", "MedicationStatement", "Condition", "AllergyIntolerance", "Immunization",
    "Procedure", "Encounter", "DocumentReference", "CarePlan", "CareTeam", "Goal",
    "Appointment", "ClinicalImpression", "Composition", "Device", "DeviceUseStatement", "EpisodeOfCare",
    "FamilyMemberHistory", "ImagingStudy", "ImmunizationRecommendation", "MedicationAdministration",
    "MedicationDispense", "QuestionnaireResponse",
}  # fmt: skip


ROUTINE = {"MedicationAdministration", "MedicationDispense"}
"""Of which a stay brings hundreds: told after all else."""

MOST_READ = 20
"""Results that are parsed for their flags, the newest."""

_ENDED = {"stopped", "completed", "cancelled", "ended", "not-taken"}
_CORRECTED = {"corrected", "amended", "entered-in-error"}


@dataclass(frozen=True)
class Told:
    """`first` is about new results and carries their `flag`; `rest` is about all else."""

    first: str = ""
    rest: str = ""
    flag: Flag = NO_FLAG

    @property
    def any(self) -> bool:
        return bool(self.first or self.rest)


def of(news: Iterable[News]) -> Told:
    held = list(news)
    counts = Counter(map(_kind, held))
    rest = [_words(kind, counts[kind]) for kind in ("corrected", "stopped", "medicine", "allergy", "supply", "other")]
    first = _words("result", counts["result"])
    return Told(first, ", ".join(filter(None, rest)), _worst(held) if first else NO_FLAG)


def _kind(news: News) -> str:
    match news.type:
        case "Observation":
            return "corrected" if news.changed or news.status in _CORRECTED else "result"
        case "MedicationRequest" | "MedicationStatement":
            return "stopped" if news.status in _ENDED else "medicine"
        case "AllergyIntolerance":
            return "allergy"
        case "MedicationAdministration" | "MedicationDispense":
            return "supply"
        case _:
            return "other"


def _words(kind: str, count: int) -> str:
    if not count:
        return ""
    words = {
        "result": ngettext("%(count)s new result", "%(count)s new results", count),
        "corrected": ngettext("%(count)s corrected", "%(count)s corrected", count),
        "stopped": ngettext("%(count)s medicine stopped", "%(count)s medicines stopped", count),
        "medicine": ngettext("%(count)s medicine new or changed", "%(count)s medicines new or changed", count),
        "allergy": ngettext("%(count)s new allergy entry", "%(count)s new allergy entries", count),
        "supply": ngettext("%(count)s dispensed or given", "%(count)s dispensed or given", count),
        "other": ngettext("%(count)s other entry", "%(count)s other entries", count),
    }
    return words[kind] % {"count": count}


def _worst(news: list[News]) -> Flag:
    flagged = [one for one in news if _kind(one) == "result" and '"interpretation"' in one.raw][:MOST_READ]
    flags = [results.of(fhir.load(one.raw)).flag for one in flagged]
    return next((flag for flag in flags if flag.critical), next((flag for flag in flags if flag.outside), NO_FLAG))
