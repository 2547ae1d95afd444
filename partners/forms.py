"""Forms of the access process: they check shape, offer only what may be chosen, and say what to do."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clinicportal.forms import WithHint, describe
from clinicportal.models import User
from clinicportal.rules import Denied
from clinicportal.texts import span_lazy
from partners import addresses, assurance, dates, decisions, failures, invitations, policies, rights, words
from partners.models import AccessRequest, PartnerOrganisation
from records import emergencies, lookup
from records.models import Agreement, Caseload, Section

USUAL, WITH_DOCUMENTS, CHOOSE = "usual", "documents", "choose"
REASONS = [
    gettext_lazy("New in the team"),
    gettext_lazy("Covering for someone"),
    gettext_lazy("New service"),
    gettext_lazy("Study"),
]


def one_line(text: str) -> str:
    """Names go into mails and headers: one line, single blanks."""
    return " ".join(text.split())


class CaseloadsField(forms.ModelMultipleChoiceField):
    """Checkboxes with "about 120 patients today" below each; the choices are `words.sized`."""

    widget = forms.CheckboxSelectMultiple

    def clean(self, value: Any) -> Any:
        try:
            return super().clean(value)
        except forms.ValidationError as problem:
            if problem.code in self.error_messages:
                raise
            # What is no UUID at all: Django lets the field's own words through.
            raise forms.ValidationError(self.error_messages["invalid_choice"], "invalid_choice") from None

    def label_from_instance(self, caseload: Any) -> str:
        today = _("%(count)s today") % {"count": words.rounded(caseload.people)}
        return WithHint(caseload.name, hint=today)


class ColleagueForm(forms.Form):
    """Add a colleague. After `is_valid()`, `cleaned_data` has what `access_requests.ask` takes, plus `statement`."""

    email = forms.CharField(
        label=gettext_lazy("Work email address"),
        help_text=gettext_lazy("Each person needs their own address, not a shared mailbox."),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": gettext_lazy("Enter your colleague's work email address")},
    )
    first_name = forms.CharField(
        label=gettext_lazy("First name"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": gettext_lazy("Enter your colleague's first name")},
    )
    last_name = forms.CharField(
        label=gettext_lazy("Last name"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": gettext_lazy("Enter your colleague's last name")},
    )
    caseloads = CaseloadsField(
        label=gettext_lazy("Which patients?"),
        queryset=Caseload.objects.none(),
        error_messages={
            "required": gettext_lazy("Choose the patients that your colleague looks after"),
            "invalid_choice": gettext_lazy("Choose patients from the list"),
            "invalid_pk_value": gettext_lazy("Choose patients from the list"),
        },
    )
    see = forms.ChoiceField(
        label=gettext_lazy("What should they see?"),
        widget=forms.RadioSelect,
        error_messages={
            "required": gettext_lazy("Choose what your colleague should see"),
            "invalid_choice": gettext_lazy("Choose what your colleague should see"),
        },
    )
    sections = forms.MultipleChoiceField(
        label=gettext_lazy("Sections"),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs={"small": True}),
        error_messages={"invalid_choice": gettext_lazy("Choose sections from the list")},
    )
    until = forms.CharField(
        label=gettext_lazy("Until"),
        max_length=40,
        widget=forms.TextInput(attrs={"class": "nhsuk-input--width-10", "autocomplete": "off"}),
        error_messages={"required": gettext_lazy("Enter the last day of access, for example 30 June 2027")},
    )
    why = forms.CharField(
        label=gettext_lazy("Why"),
        help_text=gettext_lazy("One sentence is enough. Do not name a patient."),
        max_length=300,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": gettext_lazy("Enter why your colleague needs this")},
    )
    statement = forms.BooleanField(
        error_messages={"required": gettext_lazy("Tick the box to confirm that this is your colleague")},
    )

    def __init__(
        self, *args: Any, user: User, partner: PartnerOrganisation, agreement: Agreement, **kwargs: Any
    ) -> None:
        self.user, self.partner, self.agreement = user, partner, agreement
        kwargs["initial"] = {**self.usual(), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        self.offered = words.sized(Caseload.objects.filter(organisation=partner.pk))
        self._offer_caseloads()
        self._offer_sections()
        ends = dates.words_for(dates.last_day(agreement.ends_at))
        self.fields["until"].help_text = _("For example, 30 June 2027. Your agreement ends on %(ends)s.") % {
            "ends": ends
        }
        self.fields["statement"].label = _(
            "I confirm that this person works for %(name)s, needs this for their job and has done the privacy training"
        ) % {"name": partner}
        describe(self.fields["why"], reasons=REASONS)

    def usual(self) -> dict[str, Any]:
        """What is filled in already: the only caseload, the usual sections, the usual time."""
        caseloads = list(Caseload.objects.filter(organisation=self.partner.pk)[:2])
        last = dates.months_after(dates.today(), self.partner.usual_months)
        return {
            "caseloads": caseloads if len(caseloads) == 1 else [],
            "see": USUAL if self.partner.usual_sections else CHOOSE,
            "until": dates.words_for(min(last, dates.last_day(self.agreement.ends_at))),
        }

    def _offer_caseloads(self) -> None:
        field: Any = self.fields["caseloads"]
        field.queryset = Caseload.objects.filter(organisation=self.partner.pk)
        field.choices = [(caseload.pk, field.label_from_instance(caseload)) for caseload in self.offered]

    def _offer_sections(self) -> None:
        field: Any = self.fields["sections"]
        field.choices = [
            (section, label.capitalize())
            for section, label in Section.choices
            if section in self.agreement.sections and section != Section.DEMOGRAPHICS
        ]
        usual = self.usual_sections()
        see: list[tuple[str, str]] = []
        if usual:
            label = _("Usual at %(name)s") % {"name": self.partner}
            see.append((USUAL, WithHint(label, hint=words.sections(usual).capitalize())))
        if usual and Section.DOCUMENTS in set(self.agreement.sections) - set(usual):
            hint = _("Letters may contain anything, so this takes longer to decide")
            see.append((WITH_DOCUMENTS, WithHint(_("The same, and documents"), hint=hint)))
        see.append((CHOOSE, _("Let me choose")))
        choice: Any = self.fields["see"]
        choice.choices = see
        describe(choice, reveals={CHOOSE: "sections"})

    def usual_sections(self) -> list[str]:
        return [section for section in self.partner.usual_sections if section in self.agreement.sections]

    def chosen_sections(self, see: str, chosen: list[str]) -> list[str]:
        if see == USUAL:
            return self.usual_sections()
        if see == WITH_DOCUMENTS:
            return [*self.usual_sections(), Section.DOCUMENTS]
        return chosen

    # ---------------------------------------------------------------- checking

    def clean_email(self) -> str:
        typed = self.cleaned_data["email"]
        domains = self.partner.domains.values_list("name", flat=True)
        try:
            policies.check_can_ask_for(self.user, addresses.belonging(typed, domains, str(self.partner)))
        except addresses.Unusable as refusal:
            describe(self.fields["email"], suggestion=refusal.suggestion)
            raise forms.ValidationError(refusal.sentence) from None
        except Denied as reason:
            raise forms.ValidationError(str(reason)) from None
        describe(self.fields["email"], passed=_("This address belongs to %(name)s") % {"name": self.partner})
        return typed

    def clean_first_name(self) -> str:
        return one_line(self.cleaned_data["first_name"])

    def clean_last_name(self) -> str:
        return one_line(self.cleaned_data["last_name"])

    def clean_why(self) -> str:
        return one_line(self.cleaned_data["why"])

    def clean_until(self) -> dt.date:
        latest = dates.last_day(self.agreement.ends_at)
        try:
            day = dates.read_day(self.cleaned_data["until"])
        except dates.NoDay as refusal:
            describe(self.fields["until"], suggestion=refusal.suggestion)
            raise forms.ValidationError(refusal.sentence) from None
        if day < dates.today():
            raise forms.ValidationError(_("This day is over. Choose a day from today on."))
        if day > latest:
            raise forms.ValidationError(
                _("This day is after your agreement ends. Choose a day up to %(latest)s.")
                % {"latest": dates.words_for(latest)}
            )
        return day

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        data["sections"] = self.chosen_sections(data.get("see", ""), data.get("sections", []))
        if data.get("see") == CHOOSE and not data["sections"] and "sections" not in self.errors:
            self.add_error("sections", _("Choose at least one section"))
        return data

    # ---------------------------------------------------------------- the effect, before anything is checked

    def effect(self) -> Any:
        """What is chosen so far, as a sentence; None while there is nothing to say."""
        see, chosen = self["see"].value(), self["sections"].value() or []
        offered = {section for section, _label in self.fields["sections"].choices}  # type: ignore[attr-defined]
        sections = self.chosen_sections(str(see), [section for section in chosen if section in offered])
        keys = {str(getattr(key, "pk", key)) for key in self["caseloads"].value() or []}
        caseloads = [caseload for caseload in self.offered if str(caseload.pk) in keys]
        try:
            until = dates.read_day(str(self["until"].value() or ""))
        except dates.NoDay:
            return None
        if not caseloads or not sections:
            return None
        name = one_line(f"{self['first_name'].value() or ''} {self['last_name'].value() or ''}")
        return {
            "sentence": words.effect(name or _("Your colleague"), sections, caseloads, until, to_sponsor=True),
            "not": words.sections_not(sections),
        }


class AnswerForm(forms.Form):
    answer = forms.CharField(
        label=gettext_lazy("Your answer"),
        help_text=gettext_lazy("Do not name a patient."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Enter your answer")},
    )


class WithdrawForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("Why (you can leave this empty)"), max_length=300, required=False)


class RightsForm(forms.Form):
    """Rights beyond the caseloads: those that the agreement has, or that the access has already."""

    may_look_up = forms.BooleanField(
        label=gettext_lazy("They may also look up patients who are in none of their caseloads"),
        help_text=format_lazy(
            gettext_lazy(
                "One at a time, with name, birth date, a number and a reason. Each is open for {hours}, and our "
                "privacy officers are told."
            ),
            hours=span_lazy(lookup.LASTS),
        ),
        required=False,
        widget=forms.CheckboxInput(attrs={"small": True}),
    )
    may_use_emergency_access = forms.BooleanField(
        label=gettext_lazy("They may also use emergency access"),
        help_text=format_lazy(
            gettext_lazy(
                "For one patient and {span}, with a reason and a fresh sign-in, whatever stands in the way. Each is "
                "reviewed. It begins with looking the patient up, so tick that as well."
            ),
            span=span_lazy(emergencies.LASTS),
        ),
        required=False,
        widget=forms.CheckboxInput(attrs={"small": True}),
    )

    def __init__(self, *args: Any, request: AccessRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not (decisions.may_give_look_up(request) or decisions.gave_look_up(request)):
            del self.fields["may_look_up"]
        if not (decisions.may_give_emergency_access(request) or decisions.gave_emergency_access(request)):
            del self.fields["may_use_emergency_access"]

    def clean(self) -> dict[str, Any]:
        typed: dict[str, Any] = super().clean() or {}
        if typed.get("may_use_emergency_access") and not typed.get("may_look_up"):
            self.add_error("may_look_up", _("Tick this as well: emergency access begins with looking the patient up"))
        return typed


class ChangeRightsForm(RightsForm):
    """Other rights for an access that is there, and why."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        help_text=gettext_lazy("One sentence. The sponsor reads it."),
        max_length=200,
        error_messages={"required": gettext_lazy("Enter why the rights change")},
    )

    def rights(self) -> dict[str, bool]:
        return {name: bool(self.cleaned_data.get(name)) for name in rights.NAMES}


class DecisionForm(RightsForm):
    """Approve, with further rights where the agreement has them, and what is said to the sponsor and among us."""

    note_to_sponsor = forms.CharField(
        label=gettext_lazy("Note to the sponsor"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    note_for_colleagues = forms.CharField(
        label=gettext_lazy("Note for colleagues"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class QuestionForm(forms.Form):
    question = forms.CharField(
        label=gettext_lazy("Your question"),
        help_text=gettext_lazy("The sponsor reads it word for word. Do not name a patient."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Enter your question")},
    )


class DeclineForm(forms.Form):
    """A reason with its ready sentence; words of one's own take its place."""

    reason = forms.ChoiceField(
        label=gettext_lazy("Why?"),
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose a reason")},
    )
    note_to_sponsor = forms.CharField(
        label=gettext_lazy("What the sponsor reads"),
        help_text=gettext_lazy("Leave it empty to send the sentence below the reason."),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["reason"]
        field.choices = [(code, WithHint(label, hint=text)) for code, (label, text) in decisions.REASONS.items()]


class EndForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        help_text=gettext_lazy("One sentence. The sponsor reads it."),
        max_length=200,
        error_messages={"required": gettext_lazy("Enter why the access ends")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        describe(
            self.fields["reason"],
            reasons=[_("Has left the organisation"), _("No longer needed"), _("Asked for by the sponsor")],
        )

    def clean_reason(self) -> str:
        return one_line(self.cleaned_data["reason"])


class CloseIncidentForm(forms.Form):
    note = forms.CharField(
        label=gettext_lazy("What was done"),
        help_text=gettext_lazy("One sentence, for whoever meets it next."),
        max_length=300,
        error_messages={"required": gettext_lazy("Enter what was done about it")},
    )

    def clean_note(self) -> str:
        return one_line(self.cleaned_data["note"])


class AddressForm(forms.Form):
    """A new work address of one person, of an organisation with `domains`."""

    email = forms.CharField(
        label=gettext_lazy("New work email address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": gettext_lazy("Enter the new work email address")},
    )

    def __init__(self, *args: Any, partner: PartnerOrganisation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.partner = partner

    def clean_email(self) -> str:
        domains = self.partner.domains.values_list("name", flat=True)
        try:
            return addresses.belonging(self.cleaned_data["email"], domains, str(self.partner))
        except addresses.Unusable as unusable:
            raise forms.ValidationError(unusable.sentence) from None


class NotConfirmedForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why can you not confirm it?"),
        help_text=gettext_lazy("One sentence. The sponsor reads it."),
        max_length=200,
        error_messages={"required": gettext_lazy("Enter why it cannot be confirmed")},
    )

    def clean_reason(self) -> str:
        return one_line(self.cleaned_data["reason"])


class HelpForm(forms.Form):
    number = forms.CharField(
        label=gettext_lazy("Which number does Microsoft show?"),
        help_text=gettext_lazy("For example AADSTS50105. It stands at the end of Microsoft's page, or under Details."),
        max_length=200,
        widget=forms.TextInput(attrs={"class": "nhsuk-input--width-10", "autocomplete": "off"}),
        error_messages={"required": gettext_lazy("Enter the number that Microsoft's page shows")},
    )

    def clean_number(self) -> str:
        """Whatever was copied together with the number does not matter."""
        number = failures.number_in(self.cleaned_data["number"])
        if not number:
            raise forms.ValidationError(_("Enter a number of five to seven digits, such as 50105"))
        return number


class AttestForm(forms.Form):
    """An operator's word that a policy is bound to an authentication context."""

    context = forms.ChoiceField(
        label=gettext_lazy("What did you look at?"),
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose what you looked at")},
    )
    until = forms.CharField(
        label=gettext_lazy("Until"),
        widget=forms.TextInput(attrs={"class": "nhsuk-input--width-10"}),
        error_messages={"required": gettext_lazy("Enter the last day")},
    )
    statement = forms.BooleanField(
        label=gettext_lazy(
            "I looked in the Entra admin centre: a policy that is on asks members and guests for a second factor there"
        ),
        error_messages={"required": gettext_lazy("Look first, then tick the box")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen = self.fields["context"]
        assert isinstance(chosen, forms.ChoiceField)  # noqa: S101 - for the type checker
        chosen.choices = [(name, assurance.purpose(name)) for name in assurance.contexts()]
        self.fields["until"].help_text = _("At the latest %(day)s.") % {"day": dates.words_for(assurance.latest_day())}

    def clean_until(self) -> dt.date:
        try:
            day = dates.read_day(self.cleaned_data["until"])
        except dates.NoDay as refusal:
            describe(self.fields["until"], suggestion=refusal.suggestion)
            raise forms.ValidationError(refusal.sentence) from None
        if not dates.today() <= day <= assurance.latest_day():
            raise forms.ValidationError(assurance.wrong_day())
        return day


class NotForMeForm(forms.Form):
    reason = forms.ChoiceField(
        label=gettext_lazy("What is it?"),
        choices=list(invitations.REASONS.items()),
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose one")},
    )


def again(request: AccessRequest) -> dict[str, Any]:
    """What a new form starts with when it asks for the same once more."""
    return {
        "email": request.email,
        "first_name": request.first_name,
        "last_name": request.last_name,
        "caseloads": list(request.caseloads.all()),
        "see": CHOOSE,
        "sections": request.sections,
        "why": request.why,
    }
