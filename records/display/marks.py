"""States of an entry and steps of a result: a word and a kind; the template adds shape, frame and colour."""

from dataclasses import dataclass
from enum import StrEnum

from clinicportal.texts import gettext as _
from clinicportal.texts import gettext_lazy


class Kind(StrEnum):
    """What a mark is about. Values are stable: templates choose icon and class by them."""

    CORRECTED = "corrected"
    AMENDED = "amended"
    PRELIMINARY = "preliminary"
    REGISTERED = "registered"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    ERROR = "error"
    STOPPED = "stopped"
    HELD = "held"
    PLANNED = "planned"
    REFUSED = "refused"
    DO_NOT_GIVE = "do-not-give"
    REFUTED = "refuted"
    UNCONFIRMED = "unconfirmed"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Mark:
    kind: Kind
    word: str


class Step(StrEnum):
    """How a value stands to its range: the seven steps of O3, and what is no place on a scale."""

    OFF_LOW = "off-low"
    CRITICAL_LOW = "critical-low"
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL_HIGH = "critical-high"
    OFF_HIGH = "off-high"
    ABNORMAL = "abnormal"
    CRITICAL = "critical"
    OTHER = "other"
    NO_RANGE = "no-range"
    NONE = "none"


ALARMING = {Step.CRITICAL_LOW, Step.CRITICAL_HIGH, Step.CRITICAL}
OUTSIDE = ALARMING | {Step.OFF_LOW, Step.LOW, Step.HIGH, Step.OFF_HIGH, Step.ABNORMAL}


@dataclass(frozen=True)
class Flag:
    """A word beside a result. `computed`: we compared it with its range, the source said nothing [§3d]."""

    step: Step
    word: str
    computed: bool = False

    @property
    def outside(self) -> bool:
        return self.step in OUTSIDE

    @property
    def critical(self) -> bool:
        return self.step in ALARMING


_STEP_WORDS = {
    Step.OFF_LOW: gettext_lazy("Below scale"),
    Step.CRITICAL_LOW: gettext_lazy("Critically low"),
    Step.LOW: gettext_lazy("Low"),
    Step.NORMAL: gettext_lazy("Normal"),
    Step.HIGH: gettext_lazy("High"),
    Step.CRITICAL_HIGH: gettext_lazy("Critically high"),
    Step.OFF_HIGH: gettext_lazy("Above scale"),
    Step.ABNORMAL: gettext_lazy("Abnormal"),
    Step.CRITICAL: gettext_lazy("Critically abnormal"),
    Step.NO_RANGE: gettext_lazy("No range given"),
}


def step_flag(step: Step, *, computed: bool = False) -> Flag:
    word = str(_STEP_WORDS.get(step, ""))
    return Flag(step, _("%(flag)s, computed") % {"flag": word} if computed else word, computed)


NO_FLAG = Flag(Step.NONE, "")


def entered_in_error() -> Mark:
    return Mark(Kind.ERROR, _("Entered in error"))
