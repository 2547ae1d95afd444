"""What the operator's pages say of an import: how it stands, why it ended early, why lines were rejected."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from records.importing.parsing import Reason
from records.models import Import

ENDED_EARLY = {
    "Stopped": gettext_lazy("Ended, because the feed was stopped"),
    "SnapshotTooSmall": gettext_lazy(
        "Nothing was taken away: the snapshot lacks much of what stands, or lines of it were rejected"
    ),
    "ReaderDied": gettext_lazy("Failed: the process that reads was ended, perhaps for want of memory"),
}
"""By the kind of error that is kept on the import."""

REJECTED = {
    Reason.TOO_LARGE: gettext_lazy("too large"),
    Reason.TOO_DEEP: gettext_lazy("nested too deeply"),
    Reason.NOT_UTF8: gettext_lazy("not UTF-8 text"),
    Reason.BROKEN_JSON: gettext_lazy("broken JSON"),
    Reason.NULL_CHARACTER: gettext_lazy("with a null character"),
    Reason.DUPLICATE_KEY: gettext_lazy("with the same key twice"),
    Reason.NOT_A_RESOURCE: gettext_lazy("not a FHIR resource"),
    Reason.UNKNOWN_TYPE: gettext_lazy("of a type that FHIR R4 does not have"),
    Reason.NO_ID: gettext_lazy("without an id"),
    Reason.BAD_ID: gettext_lazy("with an id that FHIR does not allow"),
    Reason.WRONG_SHAPE: gettext_lazy("with an element of the wrong shape"),
    Reason.UNSUPPORTED: gettext_lazy("of a kind that is not supported"),
    Reason.BROKEN_FILE: gettext_lazy("of a file that cannot be read on"),
}


def state(run: Import, *, newest: bool) -> str:
    """How an import stands. Only the newest of a source can be under way: an earlier one without an end was killed."""
    if run.failed:
        return str(ENDED_EARLY.get(run.failed) or _("Failed (%(kind)s)") % {"kind": run.failed})
    if run.finished_at:
        return _("Done") if run.files or run.read else _("Done, without a FHIR file")
    percent = int(100 * run.fraction)
    if newest:
        return _("%(percent)s %% of its files") % {"percent": percent}
    return _("Broke off at %(percent)s %%: the next one went on") % {"percent": percent}


def rejected(reason: str) -> str:
    return str(REJECTED[Reason(reason)]) if reason in set(Reason) else reason
