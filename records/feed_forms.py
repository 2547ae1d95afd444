"""What an operator says about a feed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class StopForm(forms.Form):
    since_day = forms.DateField(
        label=gettext_lazy("Hide what came since"),
        widget=forms.DateInput(attrs={"class": "nhsuk-input--width-10"}),
        help_text=gettext_lazy("A day that has begun, for example 2026-06-01."),
        error_messages={
            "required": gettext_lazy("Enter the day since when the feed has been wrong"),
            "invalid": gettext_lazy("Enter a day as year, month and day, for example 2026-06-01"),
        },
    )
    since_time = forms.TimeField(
        label=gettext_lazy("Time"),
        widget=forms.TimeInput(attrs={"class": "nhsuk-input--width-5"}),
        help_text=gettext_lazy("Of that day, for example 08:40. 00:00 is the whole day."),
        error_messages={
            "required": gettext_lazy("Enter a time, for example 00:00"),
            "invalid": gettext_lazy("Enter a time with hours and minutes, for example 08:40"),
        },
    )
    reason = forms.CharField(
        label=gettext_lazy("What is wrong"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Say what is wrong, for whoever resumes the feed")},
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "since_day" in cleaned and "since_time" in cleaned:
            since = timezone.make_aware(datetime.combine(cleaned["since_day"], cleaned["since_time"]))
            if since > timezone.now():
                self.add_error("since_day", _("Enter a time that has passed: what comes later is hidden in any case"))
            cleaned["since"] = since
        return cleaned


class ResumeForm(forms.Form):
    note = forms.CharField(
        label=gettext_lazy("Why it is right again"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Say what was done, for the person who confirms it")},
    )


class CloseMoveForm(forms.Form):
    note = forms.CharField(
        label=gettext_lazy("What was done"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Say what was done: who was told, or why nobody has to be")},
    )


class UploadForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("A file of this feed"),
        help_text=gettext_lazy("NDJSON or a Bundle, plain or gzipped, up to 200 MB. It may be a mended export."),
        error_messages={
            "required": gettext_lazy("Choose a file"),
            "empty": gettext_lazy("This file is empty: choose another"),
        },
        allow_empty_file=False,
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        start = file.read(64)
        file.seek(0)
        if not (start.startswith(b"\x1f\x8b") or start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")):
            raise forms.ValidationError(_("There is no FHIR in this file: choose NDJSON or a Bundle, plain or gzipped"))
        return file
