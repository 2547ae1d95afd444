"""What our staff say when they change something by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from records.models import UNGRANTABLE, ByHand, Caseload, Organisation, Section, SensitiveClass
from records.patient_forms import NamedPatientForm, PatientForm, born_field, facility_field, id_field, number_field

LONGEST = timedelta(days=366)


def evidence_field() -> forms.CharField:
    return forms.CharField(
        label=gettext_lazy("Evidence"),
        max_length=200,
        help_text=gettext_lazy(
            "What it rests on and where it is kept: a letter, a form, of which day. Not its content."
        ),
        error_messages={"required": gettext_lazy("Say what it rests on, for whoever looks at it later")},
    )


class CaseloadField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Caseload) -> str:
        return f"{obj.organisation}: {obj} ({obj.facility})"


class ListForm(PatientForm):
    """A patient into a caseload, until a day."""

    facility = None  # type: ignore[assignment] # that of the caseload
    caseload = CaseloadField(
        Caseload.objects.select_related("organisation", "facility").order_by("organisation__name", "name"),
        label=gettext_lazy("Caseload"),
        empty_label=None,
        error_messages={"required": gettext_lazy("Choose the caseload that the patient belongs to")},
    )
    until = forms.DateField(
        label=gettext_lazy("Until"),
        widget=forms.DateInput(attrs={"class": "nhsuk-input--width-10"}),
        help_text=gettext_lazy("The last day, at most a year from now, for example 2026-12-31."),
        error_messages={
            "required": gettext_lazy("Enter the last day on which they look after the patient"),
            "invalid": gettext_lazy("Enter a day as year, month and day, for example 2026-12-31"),
        },
    )
    evidence = evidence_field()
    field_order: Sequence[str] = ("caseload", "number", "born", "until", "evidence")

    def clean_until(self) -> datetime:
        """The exclusive end: the start of the next day, in the portal's zone."""
        day = self.cleaned_data["until"]
        if not timezone.localdate() <= day <= timezone.localdate() + LONGEST:
            raise forms.ValidationError(_("Enter a day from today on, at most a year from now"))
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time()))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        caseload = cleaned.get("caseload")
        self.find(cleaned, caseload.facility if caseload else None, "patient_id")
        return cleaned

    def facts(self) -> dict[str, Any]:
        return {"caseload": self.cleaned_data["caseload"], "ends_at": self.cleaned_data["until"]}


class OptOutForm(NamedPatientForm):
    organisation = forms.ModelChoiceField(
        Organisation.objects.order_by("name"),
        label=gettext_lazy("Whom the patient refuses"),
        required=False,
        empty_label=gettext_lazy("All partners"),
    )
    evidence = evidence_field()
    field_order: Sequence[str] = ("patient", "facility", "number", "born", "organisation", "evidence")

    def facts(self) -> dict[str, Any]:
        return {"organisation": self.cleaned_data["organisation"]}


class LabelForm(NamedPatientForm):
    section = forms.ChoiceField(
        label=gettext_lazy("What to hold back"),
        required=False,
        choices=[("", gettext_lazy("The whole record")), *Section.choices],
    )
    entry = id_field(
        gettext_lazy("Or one entry only"), gettext_lazy("The id of a document, as it stands in its address.")
    )
    sensitive_class = forms.ChoiceField(
        label=gettext_lazy("As which sensitive class"),
        initial=SensitiveClass.OTHER,
        choices=[(one.value, one.label) for one in SensitiveClass if one not in UNGRANTABLE],
        help_text=gettext_lazy("Only those whose grant and agreement name it see it from then on."),
    )
    evidence = evidence_field()
    field_order: Sequence[str] = (
        "patient", "facility", "number", "born", "section", "entry", "sensitive_class", "evidence",
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("section") and cleaned.get("entry"):
            self.add_error("entry", _("Choose a section or one entry, not both"))
        return cleaned

    def facts(self) -> dict[str, Any]:
        return {
            "section": self.cleaned_data["section"],
            "entry_id": self.cleaned_data["entry"],
            "sensitive_class": self.cleaned_data["sensitive_class"],
        }


class PairForm(PatientForm):
    """Names two records of one person."""

    other_facility = facility_field(gettext_lazy("Facility of the second record"))
    other_number = number_field(gettext_lazy("Its record number"))
    other_born = born_field(gettext_lazy("Birth date in the second record"))
    pair = ("other_facility", "other_number", "other_born")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self.find(cleaned, cleaned.get("other_facility"), "other_id", "other_")
        if cleaned.get("patient_id") and cleaned.get("patient_id") == cleaned.get("other_id"):
            self.add_error("other_number", _("These are the same record: enter the number of the other one"))
        return cleaned


class LinkForm(PairForm):
    replaced = forms.BooleanField(
        label=gettext_lazy("The first number is no longer used: the second replaces it"), required=False
    )
    evidence = evidence_field()

    def facts(self) -> dict[str, Any]:
        return {"other_id": self.cleaned_data["other_id"], "replaced": self.cleaned_data["replaced"]}


ADD: dict[str, Any] = {
    ByHand.Kind.LIST: ListForm,
    ByHand.Kind.OPT_OUT: OptOutForm,
    ByHand.Kind.LABEL: LabelForm,
    ByHand.Kind.LINK: LinkForm,
}

# ---------------------------------------------------------------- by the second person


class SameFromEvidence(forms.Form):
    """The second person names the patient again, from the evidence: then a slip of the first one shows."""

    def __init__(self, *args: Any, entry: ByHand, **kwargs: Any) -> None:
        self.entry = entry
        super().__init__(*args, **kwargs)

    def must_be(self, wanted: set[Any], named: set[Any]) -> None:
        if None not in named and not self.errors and wanted != named:
            said = _("This is not whom the first person entered. If the evidence names somebody else, decline it")
            self.add_error("number", said)


class ConfirmListForm(SameFromEvidence, PatientForm):
    facility = None  # type: ignore[assignment]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.find(cleaned, self.entry.caseload.facility if self.entry.caseload else None, "patient_id")
        self.must_be({self.entry.patient_id}, {cleaned.get("patient_id")})
        return cleaned


class ConfirmLinkForm(SameFromEvidence, PairForm):
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        wanted = {self.entry.patient_id, self.entry.other_id}
        self.must_be(wanted, {cleaned.get("patient_id"), cleaned.get("other_id")})
        return cleaned


class ConfirmReviewForm(SameFromEvidence):
    """Nothing to name: the link names them, and two people stood for it."""


CONFIRM: dict[str, Any] = {
    ByHand.Kind.LIST: ConfirmListForm,
    ByHand.Kind.LINK: ConfirmLinkForm,
    ByHand.Kind.REVIEW: ConfirmReviewForm,
}


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=200,
        error_messages={"required": gettext_lazy("Say why, for whoever looks at it later")},
    )
