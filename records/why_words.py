"""The answers of records/why.py as sentences: what is so, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clinicportal.dates import plain_date
from records.models import Membership, Section, SensitiveClass, Suspension
from records.models.grants import name_of_giver

Text = str | Promise


@dataclass(frozen=True)
class Sentence:
    says: str
    do: str = ""
    """What to do about it; empty where nothing can be done."""


@dataclass(frozen=True)
class Part:
    """A kind of content, and whether the person's grant includes it: "not granted", "not in the agreement"."""

    name: str
    missing: str


@dataclass(frozen=True)
class Reading:
    """The answer for one organisation that the person acts for."""

    organisation: str
    visible: bool
    sentences: tuple[Sentence, ...]
    sections: tuple[Part, ...]
    classes: tuple[Part, ...]


# Each name of a reason: what is so, and what to do. {…} are facts of the grant nearest to what is asked.
REASONS: dict[str, tuple[Text, Text]] = {
    "account_inactive": (
        gettext_lazy("Their account is switched off."),
        gettext_lazy("An approver finds out why; once it is on again, they sign in anew."),
    ),
    "no_second_factor": (gettext_lazy("Their session has no second factor."), gettext_lazy("They sign in again.")),
    "no_organisation": (
        gettext_lazy("They chose no organisation in their session."),
        gettext_lazy("They choose one under My access."),
    ),
    "terms_not_accepted": (
        gettext_lazy("They have not accepted the terms in force."),
        gettext_lazy("They are asked when they next sign in."),
    ),
    "no_grant": (
        gettext_lazy("They hold no grant for this organisation."),
        gettext_lazy("Their sponsor can ask for access."),
    ),
    "no_agreement": (
        gettext_lazy("There is no agreement with the organisation."),
        gettext_lazy("Nobody of it sees anything until there is one."),
    ),
    "grant_to_come": (
        gettext_lazy("The grant begins on {starts_at}."),
        gettext_lazy("Wait until then, or let their sponsor ask for an earlier start."),
    ),
    "grant_over": (gettext_lazy("The grant ended on {ends_at}."), gettext_lazy("Their sponsor can ask for it again.")),
    "grant_ended": (
        gettext_lazy("Somebody ended the grant on {ended_at}{because}."),
        gettext_lazy("Their sponsor can ask for it again. Who ended it is in the audit trail."),
    ),
    "grant_paused": (
        gettext_lazy("The grant is paused{grant_paused}."),
        gettext_lazy("An approver finds it on the page of the person's request; it goes on when the reason is gone."),
    ),
    "organisation_paused": (
        gettext_lazy("The organisation is paused{organisation_paused}."),
        gettext_lazy("An approver or an operator reads under Organisations since when and why."),
    ),
    "person_paused": (
        gettext_lazy("The person is paused{person_paused}."),
        gettext_lazy(
            "If they only have to sign in anew, ask them to. Else an approver finds it on the page of their request."
        ),
    ),
    "right_to_look_up_gone": (
        gettext_lazy("They looked the patient up, and the right to look up no longer holds."),
        gettext_lazy("An approver can give it again on the page of their request, where the agreement has it."),
    ),
    "agreement_to_come": (
        gettext_lazy("The agreement begins on {agreement_starts_at}."),
        gettext_lazy("Wait until then."),
    ),
    "agreement_over": (
        gettext_lazy("The agreement ended on {agreement_ends_at}."),
        gettext_lazy("It has to be renewed before anybody of the organisation sees anything."),
    ),
    "facility_not_agreed": (
        gettext_lazy("The agreement does not cover the facility of this record."),
        gettext_lazy("The agreement would have to change first."),
    ),
    "not_in_caseload": (
        gettext_lazy("The patient is not in the caseload {caseload} now.{memberships}"),
        gettext_lazy("If they look after the patient, our feed has to say so, or two of us add the patient by hand."),
    ),
    "another_not_in_caseload": (
        gettext_lazy("The entry is about another patient, too, who is not in the caseload."),
        gettext_lazy("Look at the entry in our own system: it may be filed under the wrong patient."),
    ),
    "section_not_granted": (
        gettext_lazy("The grant does not include this kind of content."),
        gettext_lazy("Their sponsor can ask for more."),
    ),
    "section_not_agreed": (
        gettext_lazy("The agreement does not include this kind of content."),
        gettext_lazy("The agreement would have to change first."),
    ),
    "class_not_granted": (
        gettext_lazy("It is protected by a sensitive class that the grant does not name."),
        gettext_lazy("Their sponsor can ask for the class if their work needs it."),
    ),
    "class_not_agreed": (
        gettext_lazy("It is protected by a sensitive class that the agreement does not include."),
        gettext_lazy("The agreement would have to change first."),
    ),
    "label_not_understood": (
        gettext_lazy("Its label is one that nobody can be granted: unknown here, or restricted without a reason."),
        gettext_lazy("The source has to label it in a way that we understand."),
    ),
    "in_no_section": (
        gettext_lazy("An entry of this type belongs to no section: it is shown to nobody."),
        gettext_lazy("Nothing: look at it in our own system."),
    ),
    "opted_out": (
        gettext_lazy("The patient refuses to be shared with them."),
        gettext_lazy("Only the patient can take that back. A refusal by hand is then ended under By hand."),
    ),
    "another_opted_out": (
        gettext_lazy("The entry is about another patient, too, who refuses to be shared with them."),
        gettext_lazy("Only that patient can take it back."),
    ),
    "feed_stopped": (
        gettext_lazy("The feed that brought it is stopped, and what it brought is hidden from everybody."),
        gettext_lazy("Under Feeds it says why; two people resume it."),
    ),
    "no_longer_held": (
        gettext_lazy("The source no longer holds this entry."),
        gettext_lazy("Nothing: it is shown to nobody."),
    ),
    "ask_privacy": (
        gettext_lazy("Something stands in the way that only a privacy officer may read."),
        gettext_lazy("Ask a privacy officer to ask the same question."),
    ),
    "another_way": (
        gettext_lazy("They see it by an emergency access, not by a grant."),
        gettext_lazy("It ends within the hour and is reviewed. A privacy officer finds it in the audit trail."),
    ),
}

REPLACED = gettext_lazy(
    "This record was replaced by another of the same person, so My patients and searches leave it out."
)
ASK_ABOUT_THE_OTHER = gettext_lazy("Ask the same about the record that replaced it.")

MISSING: dict[str, Text] = {
    "section_not_granted": gettext_lazy("not granted"),
    "section_not_agreed": gettext_lazy("not in the agreement"),
    "class_not_granted": gettext_lazy("not granted"),
    "class_not_agreed": gettext_lazy("not in the agreement"),
}


def readings(answer: dict[str, Any]) -> list[Reading]:
    return [reading(one) for one in answer["organisations"]]


def reading(one: dict[str, Any]) -> Reading:
    nearest = one["pairs"][0] if one["pairs"] else None
    sentences = [sentence(name, nearest) for name in one["reasons"]]
    if one["visible"] and nearest and not one["reasons"]:
        sentences.insert(0, Sentence(by_grant(nearest)))
    if one["visible"] and one.get("replaced"):
        sentences.append(Sentence(str(REPLACED), str(ASK_ABOUT_THE_OTHER)))
    shown = nearest if nearest and "sections" in nearest else None
    return Reading(
        organisation=one["name"],
        visible=one["visible"],
        sentences=tuple(sentences),
        sections=parts(Section, shown["sections"]) if shown else (),
        classes=parts(SensitiveClass, shown["classes"]) if shown else (),
    )


def sentence(name: str, pair: dict[str, Any] | None) -> Sentence:
    says, do = REASONS[name]
    return Sentence(str(says).format(**facts(pair)) if pair else str(says), str(do))


def facts(pair: dict[str, Any]) -> dict[str, str]:
    agreement = pair.get("agreement")
    return {
        "starts_at": day(pair["starts_at"]),
        "ends_at": last_day(pair["ends_at"]),
        "ended_at": day(pair["ended_at"]),
        "agreement_starts_at": day(agreement["starts_at"]) if agreement else "",
        "agreement_ends_at": last_day(agreement["ends_at"]) if agreement else "",
        "because": because([pair.get("ended_because", "")]),
        **{f"{name}_paused": because(reasons_of(pair.get("paused", {}).get(name, ()))) for name in PAUSED},
        "caseload": pair["caseload"],
        "memberships": "".join(f" {membership(one)}" for one in pair["memberships"][:2]),
    }


PAUSED = ("grant", "organisation", "person")


def because(reasons: Iterable[str]) -> str:
    """ ": has left, security" to stand behind what is so; empty without a reason."""
    known = [reason.strip().rstrip(".") for reason in reasons if reason.strip()]
    return f": {', '.join(known)}" if known else ""


def reasons_of(codes: Iterable[str]) -> list[str]:
    """In words; those that say no more than that there is a pause are left out."""
    Reason = Suspension.Reason
    plain = (Reason.ORGANISATION, Reason.PERSON)
    return [str(Reason(code).label) for code in dict.fromkeys(codes) if code not in plain]


def by_grant(pair: dict[str, Any]) -> str:
    whom = _("for %(caseload)s") % {"caseload": pair["caseload"]} if pair["caseload"] else _("for this patient by name")
    times = {"start": day(pair["starts_at"]), "end": last_day(pair["ends_at"])}
    if pair.get("looked_up"):
        return _("They looked the patient up themselves on %(start)s: it is open to them alone, until %(end)s.") % times
    said = _("By the grant %(whom)s from %(start)s until %(end)s, approved by %(name)s.")
    said %= {"whom": whom, "name": name_of_giver(pair["given_by"]), **times}
    return " ".join([said, *(membership(one) for one in pair["memberships"] if one["now"])])


def membership(one: dict[str, Any]) -> str:
    """A patient's place in the caseload: "Registration since 1 June 2026." """
    said = {"basis": Membership.Basis(one["basis"]).label, "start": day(one["starts_at"])}
    if one["now"] and not one["ends_at"]:
        return _("%(basis)s since %(start)s, without an end.") % said
    if one["now"]:
        return _("%(basis)s since %(start)s, until %(end)s.") % {**said, "end": last_day(one["ends_at"])}
    if one["ends_at"] and moment(one["ends_at"]) <= datetime.now(tz=moment(one["ends_at"]).tzinfo):
        return _("%(basis)s ended on %(end)s.") % {**said, "end": last_day(one["ends_at"])}
    return _("%(basis)s begins on %(start)s.") % said


def parts(kinds: type[Section] | type[SensitiveClass], lacks: dict[str, list[str]]) -> tuple[Part, ...]:
    return tuple(
        Part(str(one.label), ", ".join(str(MISSING[name]) for name in lacks[one.value]))
        for one in kinds
        if one.value in lacks
    )


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def day(text: str) -> str:
    return plain_date(moment(text)) if text else ""


def last_day(text: str) -> str:
    """The last day before an exclusive end."""
    return plain_date(moment(text) - timedelta(microseconds=1))
