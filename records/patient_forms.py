"""How our staff name a patient whose record they may not see: by our id, or by record number and birth date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import F, Value
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from records import search, tokens
from records.models import Facility, PatientNumbered


def patient_numbered(facility: Facility, number: str, born: str) -> UUID | None:
    """The one patient with this record number and birth date (1990-05-17) at the facility."""
    found = PatientNumbered(F("pk"), Value(tokens.identifier(number)), Value(born))
    return Facility.objects.filter(pk=facility.pk).values_list(found, flat=True)[0]


class BirthDateField(forms.CharField):
    """A whole date in any order that our pages write: 17-May-1990, 17/5/1990, 1990-05-17; cleaned to the last."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.TextInput(attrs={"class": "nhsuk-input--width-10", "autocomplete": "off"}))
        super().__init__(max_length=30, **options)

    def clean(self, value: Any) -> str:
        typed = super().clean(value)
        dates = [term for term in search.terms(typed) if tokens.BIRTH_DATE.fullmatch(term) and len(term) == 10]
        if typed and len(dates) != 1:
            raise forms.ValidationError(_("Enter the birth date as day, month and year, for example 17-May-1990"))
        return dates[0] if dates else ""


def facility_field(label: Any) -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        Facility.objects.order_by("name"),
        label=label,
        empty_label=None,
        error_messages={"required": gettext_lazy("Choose the facility whose number it is")},
    )


def number_field(label: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=64,
        widget=forms.TextInput(attrs={"class": "nhsuk-input--width-20", "autocomplete": "off"}),
        error_messages={"required": gettext_lazy("Enter the record number that the facility gave the patient")},
    )


def born_field(label: Any) -> BirthDateField:
    return BirthDateField(
        label=label,
        help_text=gettext_lazy("For example 17-May-1990."),
        error_messages={"required": gettext_lazy("Enter the patient's birth date")},
    )


def id_field(label: Any, hint: Any) -> forms.UUIDField:
    """A patient or an entry of a record, by our id."""
    return forms.UUIDField(
        label=label,
        required=False,
        help_text=hint,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"invalid": gettext_lazy("Enter the id as it stands in the address, for example 0b1c…")},
    )


class PatientForm(forms.Form):
    """Names one patient by record number and birth date; `patient_id` of the cleaned data says who it is."""

    facility = facility_field(gettext_lazy("Facility"))
    number = number_field(gettext_lazy("Record number"))
    born = born_field(gettext_lazy("Birth date"))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.find(cleaned, cleaned.get("facility"), "patient_id")
        return cleaned

    def find(self, cleaned: dict[str, Any], facility: Facility | None, into: str, prefix: str = "") -> None:
        """Look the patient up when number and birth date are there; beside the number it says when there is none."""
        number, born = cleaned.get(f"{prefix}number"), cleaned.get(f"{prefix}born")
        if facility and number and born:
            cleaned[into] = patient_numbered(facility, number, born)
            if cleaned[into] is None:
                said = _("No patient at %(facility)s has this number and this birth date. Check both")
                self.add_error(f"{prefix}number", said % {"facility": facility})


class NamedPatientForm(PatientForm):
    """The same, or by our id as it stands in the address of the record."""

    patient = id_field(
        gettext_lazy("Patient id"),
        gettext_lazy("As it stands in the address of the record. Or leave it empty and give the three below."),
    )
    field_order: Sequence[str] = ("patient", "facility", "number", "born")

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data.get("patient")
        if given:
            for name in ("facility", "number", "born"):
                self.errors.pop(name, None)
            return {**self.cleaned_data, "patient_id": given}
        return super().clean()
