"""Made-up worlds: partners, grants, labels, links, opt-outs, medicines that get another name, look-ups, emergencies and
their reviews by chance, and who may see what of them.

`World.allows` states the rule in plain Python. It reads what the feeds said and what was done since, as kept here; of
the portal's code it uses the words of the rule and no query. Each thing that a feed says has a mark that stands nowhere
else, so a page that holds the mark shows the thing.
"""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from clinicportal.models import User
from records import links, requested
from records.models import (
    Agreement,
    Caseload,
    EmergencyAccess,
    FeedStop,
    Grant,
    Look,
    Membership,
    OptOut,
    Organisation,
    Patient,
    PatientLink,
    RequestedLabel,
    Resource,
    ReviewReading,
    Section,
    Suspension,
)
from tests import factories as make
from tests.records.feeds import Feed, Json, labelled, patient, ref

WORKER = "worker"
SENSITIVE = ["mental_health", "hiv", "genetic", "other", "substance_use"]
CODE_OF = {"mental_health": "MH", "hiv": "HIV", "genetic": "GDIS", "other": "SPI", "substance_use": "SUD"}
NEVER = {"unknown": "NOSUCHLABEL", "restricted": "R", "psychotherapy": "PSYTHPN"}
WHOLE_RECORD = ("", Section.DEMOGRAPHICS)
Name = tuple[str, str]
"""A patient as (source, id there)."""


@dataclass(frozen=True)
class Said:
    """One thing that a feed says, in one version."""

    key: str
    mark: str
    about: Name
    section: str
    number: int = 1
    others: frozenset[Name] = frozenset()
    classes: frozenset[str] = frozenset()
    repeats: frozenset[str] = frozenset()
    """Keys of what it repeats the content of."""
    quotes: frozenset[str] = frozenset()
    """Marks that it says in words."""
    came: int = 1
    gone: bool = False
    before: Said | None = None


@dataclass(frozen=True)
class Medicine:
    """What a source's Medication says that it is; what is stated to be taken points at it and says no name."""

    mark: str
    classes: frozenset[str]
    came: int = 1


@dataclass
class World:
    seed: int
    folder: Path
    said: dict[str, Said] = field(default_factory=dict)
    of_patient: dict[Name, frozenset[str]] = field(default_factory=dict)
    """Labels on the Patient itself."""
    medicines: dict[str, Medicine] = field(default_factory=dict)
    """By source."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - the same world for the same seed
        self.build()

    # ------------------------------------------------------------ what there is

    def often(self, probability: float) -> bool:
        return self.chance.random() < probability

    def some(self, items: Any, probability: float) -> list[Any]:
        return [item for item in items if self.often(probability)]

    def build(self) -> None:
        sites = {name: make.make_facility(name) for name in ("Main site", "North site")}
        self.feeds = {
            "main": Feed(self.folder / "main", make.make_source(sites["Main site"], "main")),
            "north": Feed(self.folder / "north", make.make_source(sites["North site"], "north")),
        }
        self.names = [(source, f"p{n}") for source in self.feeds for n in range(3)]
        for source in self.feeds:
            self.feeds[source].send(*self.first(source))
        self.ids = {name: self.feeds[name[0]].patient(name[1]).pk for name in self.names}
        self.partners(list(sites.values()))
        self.looked_at = timezone.now()
        # What the first delivery brought came an hour before anybody looked.
        Resource.objects.using(WORKER).update(received_at=self.looked_at - timedelta(hours=2))
        Patient.objects.using(WORKER).update(received_at=self.looked_at - timedelta(hours=2))
        rows = [(user, pk) for user, _ in self.sessions for pk in self.ids.values() if user.pk]
        Look.objects.using(WORKER).bulk_create(
            [Look(user=user, patient_id=pk, at=self.looked_at - timedelta(hours=1)) for user, pk in dict.fromkeys(rows)]
        )
        for source in self.feeds:
            self.feeds[source].send(*self.second(source))

    def family(self, name: Name) -> str:
        return f"Zq{name[0]}{'abc'[int(name[1][1:])]}fam".lower()

    def mark(self) -> str:
        return f"zq{self.chance.randrange(10**9):09d}x"

    def labels(self, rate: float = 0.3) -> frozenset[str]:
        if not self.often(rate):
            return frozenset()
        if self.often(0.2):
            return frozenset({self.chance.choice(list(NEVER))})
        return frozenset(self.chance.sample(SENSITIVE, self.chance.choice([1, 1, 2])))

    def first(self, source: str) -> list[Json]:
        sent = [self.medicine(source, came=1)]
        for name in [one for one in self.names if one[0] == source]:
            self.of_patient[name] = self.labels(0.15) - {"restricted"}
            sent.append(
                patient(
                    name[1],
                    name=[{"family": self.family(name), "given": ["Testpatient"]}],
                    birthDate="1958-02-02",
                    meta=meta(self.of_patient[name]),
                )
            )
            for kind in BODIES:
                sent.append(self.say(f"{source}/{kind}/{name[1]}", kind, name))
        self.chance.shuffle(sent)
        return sent

    def medicine(self, source: str, *, came: int) -> Json:
        known = self.medicines[source] = Medicine(self.mark(), self.labels(), came)
        code, version = concept(known.mark), {"versionId": str(came), **meta(known.classes)}
        return {"resourceType": "Medication", "id": "d", "code": code, "meta": version}

    def taken(self, said: Said) -> Medicine | None:
        """The medicine that a statement points at."""
        return self.medicines[said.about[0]] if "/MedicationStatement/" in said.key else None

    def quoted(self, said: Said) -> set[str]:
        """Marks of other things that it says in words."""
        taken = self.taken(said)
        return {*said.quotes, *([taken.mark] if taken else [])}

    def say(self, key: str, kind: str, about: Name, before: Said | None = None) -> Json:
        """Something new about `about`, kept here and as FHIR."""
        mark, section = self.mark(), BODIES[kind][0]
        others = frozenset(
            {self.chance.choice([one for one in self.names if one[0] == about[0] and one != about])}
            if self.often(0.1)
            else ()
        )
        own, inside = self.labels(), self.labels(0.1)
        contained = [{"resourceType": "Basic", "id": "c", "meta": meta(inside)}] if inside else []
        repeats: frozenset[str] = frozenset()
        quotes: frozenset[str] = frozenset()
        body = BODIES[kind][1](mark)
        if kind in QUOTING and self.often(0.4):
            problem = f"{about[0]}/Condition/{about[1]}"
            quotes, repeats = frozenset({self.said[problem].mark}), frozenset({problem})
            words = {"reference": f"Condition/Condition-{about[1]}", "display": self.said[problem].mark}
            body |= QUOTING[kind](words)
        if kind == "DiagnosticReport" and self.often(0.6):
            body["result"] = [ref(f"Observation/Observation-{about[1]}")]
            repeats = frozenset({f"{about[0]}/Observation/{about[1]}"})
        for other in others:
            body["extension"] = [{"url": "urn:test:also", "valueReference": ref(f"Patient/{other[1]}")}]
        self.said[key] = Said(
            key, mark, about, section, number=before.number + 1 if before else 1, others=others,
            classes=own | inside, repeats=repeats, quotes=quotes, came=2 if before else 1, before=before,
        )  # fmt: skip
        place = "patient" if kind in ("AllergyIntolerance", "Immunization") else "subject"
        return {
            "resourceType": kind.partition(":")[0],
            "id": key.split("/")[1].replace(":", "-") + "-" + key.split("/")[2],
            place: ref(f"Patient/{about[1]}"),
            "meta": {"versionId": str(self.said[key].number), **meta(own)},
            **({"contained": contained} if contained else {}),
            **body,
        }

    def second(self, source: str) -> list[Json]:
        """Corrections, among them some that move to another patient; and what is deleted."""
        sent, deleted = [], []
        for key, known in list(self.said.items()):
            if key.startswith(source + "/") and self.often(0.35):
                kind = key.split("/")[1]
                move = self.often(0.25)
                about = self.chance.choice([one for one in self.names if one[0] == source]) if move else known.about
                corrected = self.say(key, kind, about, before=known)
                if kind.startswith("Observation"):
                    corrected["status"] = "corrected"
                sent.append(corrected)
            elif key.startswith(source + "/") and self.often(0.08):
                self.said[key] = replace(known, gone=True)
                kind, id = key.split("/")[1:]
                deleted.append(
                    {"request": {"method": "DELETE", "url": f"{kind.partition(':')[0]}/{kind}-{id}".replace(":", "-")}}
                )
        if self.often(0.5):
            sent.append(self.medicine(source, came=2))
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": deleted}
        return [*sent, *([bundle] if deleted else [])]

    def partners(self, sites: list[Any]) -> None:
        self.organisations = [make.make_organisation(f"Partner {letter}") for letter in "BC"]
        self.caseloads: list[Caseload] = []
        for organisation in self.organisations:
            for _ in range(self.chance.choice([1, 2])):
                rights = {right: self.often(0.7) for right in RIGHTS}
                make.make_agreement(
                    organisation, *(self.some(sites, 0.8) or sites[:1]), sections=self.sections(0.9),
                    classes=self.some(SENSITIVE, 0.8), may_export=self.often(0.6), **rights, **self.times(),
                )  # fmt: skip
            for site in sites:
                caseload = make.make_caseload(organisation, site)
                self.caseloads.append(caseload)
                for name in self.some(self.names, 0.7):
                    make.make_membership(caseload, self.row(name), **self.times())
        one, two = self.organisations
        users = [make.make_user(f"Nurse {n}") for n in range(3)]
        self.sessions = [
            (users[0], one), (users[1], one), (users[1], two), (users[2], two)
        ]  # fmt: skip
        for user, organisation in self.sessions:
            for _ in range(self.chance.choice([1, 2, 3])):
                self.grant(user, organisation)
        self.reviewer = make.make_user("Reviewer", staff_roles=["reviewer"], roles_checked_at=make.days(0))
        for user, _ in self.sessions:
            user.proofs = {settings.STEP_UP["export"]: timezone.now()}

    def sections(self, probability: float) -> list[str]:
        wanted = self.some([one for one in Section.values if one != "demographics"], probability)
        return ["demographics", *wanted] if self.often(0.95) else wanted

    def times(self) -> dict[str, datetime]:
        if self.often(0.9):
            return {"starts_at": make.days(-9), "ends_at": make.days(99)}
        return self.chance.choice(
            [
                {"starts_at": make.days(1), "ends_at": make.days(99)},
                {"starts_at": make.days(-9), "ends_at": make.days(-1)},
            ]
        )

    def row(self, name: Name) -> Patient:
        return Patient.objects.using(WORKER).get(pk=self.ids[name])

    def grant(self, user: User, organisation: Organisation) -> None:
        sections = sorted({"demographics", *self.sections(0.7)})
        facts = {"sections": sections, "classes": self.some(SENSITIVE, 0.5), **self.times()}
        facts |= {"may_use_emergency_access": self.often(0.5), "may_look_up": self.often(0.5)}
        if self.often(0.2):
            make.make_grant(user, organisation=organisation, patient=self.row(self.chance.choice(self.names)), **facts)
        else:
            own = [one for one in self.caseloads if one.organisation_id == organisation.pk]
            make.make_grant(user, self.chance.choice(own), **facts)

    # ------------------------------------------------------------ what happens

    def change(self) -> str:
        """Something changes; its name."""
        name = self.chance.choice(list(CHANGES))
        CHANGES[name](self)
        return name

    def end_grant(self) -> None:
        grant = self.chance.choice(list(Grant.objects.using(WORKER).order_by("given_at", "pk")))
        Grant.objects.using(WORKER).filter(pk=grant.pk).update(ended_at=timezone.now())

    def give_grant(self) -> None:
        self.grant(*self.chance.choice(self.sessions))

    def suspend(self) -> None:
        user, organisation = self.chance.choice(self.sessions)
        grant = Grant.objects.using(WORKER).filter(guest=user).order_by("given_at", "pk").first()
        target = self.chance.choice([{"user": user}, {"organisation": organisation}, {"grant": grant}])
        Suspension.objects.using(WORKER).create(reason="security", **target)

    def lift(self) -> None:
        Suspension.objects.using(WORKER).update(lifted_at=timezone.now())

    def opt_out(self) -> None:
        organisation = self.chance.choice([None, *self.organisations])
        row = self.row(self.chance.choice(self.names))
        OptOut.objects.using(WORKER).create(patient=row, organisation=organisation, evidence="a form")
        links.unite([row.pk], using=WORKER)

    def link(self) -> None:
        one, other = self.chance.sample(self.names, 2)
        kind = self.chance.choice(PatientLink.Kind.values)
        links.link(self.ids[one], self.ids[other], kind=kind, evidence="a form", using=WORKER)

    def unlink(self) -> None:
        for made in PatientLink.objects.using(WORKER).filter(undone_at=None).order_by("pk")[:1]:
            links.undo(made, using=WORKER)

    def hold_back(self) -> None:
        row = self.row(self.chance.choice(self.names))
        section = self.chance.choice(["", *Section.values])
        entry = Resource.objects.using(WORKER).filter(patient=row).order_by("id").first() if self.often(0.3) else None
        requested.request(
            row, evidence="a letter", section="" if entry else section, resource=entry,
            sensitive_class=self.chance.choice(SENSITIVE), using=WORKER,
        )  # fmt: skip

    def give_back(self) -> None:
        for asked in RequestedLabel.objects.using(WORKER).filter(withdrawn_at=None, resource=None)[:1]:
            if not asked.evidence.startswith(links.UNITED):
                requested.withdraw(asked, using=WORKER)

    def leave_caseload(self) -> None:
        row = self.chance.choice(list(Membership.objects.using(WORKER).order_by("starts_at", "pk")))
        Membership.objects.using(WORKER).filter(pk=row.pk).update(ends_at=timezone.now())

    def narrow_agreement(self) -> None:
        one = self.chance.choice(list(Agreement.objects.using(WORKER).order_by("starts_at", "pk")))
        kept = {"sections": self.sections(0.5), "classes": self.some(SENSITIVE, 0.3)}
        Agreement.objects.using(WORKER).filter(pk=one.pk).update(**kept)

    def stop_feed(self) -> None:
        feed = self.chance.choice(list(self.feeds.values()))
        if FeedStop.objects.using(WORKER).filter(source=feed.source, resumed_at=None).exists():
            return
        since = self.looked_at - timedelta(hours=self.chance.choice([1, 3]))  # the second delivery, or both
        FeedStop.objects.using(WORKER).create(
            source=feed.source, hidden_since=since, reason="wrong patients", stopped_by=make.make_user("Operator")
        )

    def begin_emergency(self) -> None:
        user, organisation = self.chance.choice(self.sessions)
        name = self.chance.choice(self.names)
        if not EmergencyAccess.objects.using(WORKER).filter(guest=user, patient_id=self.ids[name]).exists():
            make.make_emergency(make.signed_in(user, organisation), self.row(name))

    def end_emergency(self) -> None:
        EmergencyAccess.objects.filter(ended_at=None).update(ended_at=timezone.now())

    def review(self) -> None:
        self.begin_emergency()
        for one in EmergencyAccess.objects.using(WORKER).order_by("started_at", "pk")[:1]:
            until = timezone.now() + timedelta(hours=1)
            ReviewReading.objects.create(emergency=one, reviewer=self.reviewer, ends_at=until)

    def judge(self) -> None:
        facts = {"status": "justified", "reviewed_by": self.reviewer, "reviewed_at": timezone.now()}
        EmergencyAccess.objects.exclude(started_at=None).update(**facts)

    def look_up(self) -> None:
        rights = Grant.objects.using(WORKER).filter(may_look_up=True, under=None).order_by("given_at", "pk")
        for right in self.chance.sample(list(rights), min(len(rights), 1)):
            make.make_grant(
                right.guest, organisation=right.organisation, patient=self.row(self.chance.choice(self.names)),
                under=right, sections=right.sections, classes=right.classes,
            )  # fmt: skip

    def resume_feed(self) -> None:
        two = {"resume_asked_by": make.make_user("Operator"), "resumed_by": make.make_user("Second operator")}
        FeedStop.objects.using(WORKER).filter(resumed_at=None).update(resumed_at=timezone.now(), **two)

    def leave_facility(self) -> None:
        one = self.chance.choice(list(Agreement.objects.using(WORKER).order_by("starts_at", "pk")))
        one.facilities.through.objects.using(WORKER).filter(
            agreement=one, facility=self.chance.choice(list(self.feeds.values())).source.facility
        ).delete()

    # ------------------------------------------------------------ the rule, in plain words

    def read(self) -> None:
        """Take down how things stand: the rule is then asked without a query."""
        self.now = timezone.now()
        self.rows = {model: list(model.objects.using(WORKER).all()) for model in READ}
        self.patients = {row.pk: row for row in Patient.objects.using(WORKER).all()}
        self.resources = {
            f"{source}/{row.type}/{row.fhir_id}": row.pk
            for source, feed in self.feeds.items()
            for row in Resource.objects.using(WORKER).filter(source=feed.source).only("type", "fhir_id")
        }
        pairs = Agreement.facilities.through.objects.using(WORKER).values_list("agreement_id", "facility_id")
        self.sites: dict[Any, set[Any]] = {}
        for agreement, facility in pairs:
            self.sites.setdefault(agreement, set()).add(facility)

    def person(self, name: Name) -> set[Name]:
        """All records of the same person along links in force."""
        pairs = [(one.patient_id, one.other_id) for one in self.rows[PatientLink] if one.undone_at is None]
        found = {self.ids[name]}
        while more := {one for pair in pairs for one in pair if found & set(pair)} - found:
            found |= more
        return {one for one, pk in self.ids.items() if pk in found}

    def asked_back(self, name: Name) -> list[RequestedLabel]:
        """What the person asked to be held back, by whichever record, and of single things by this one."""
        asked = [one for one in self.rows[RequestedLabel] if one.withdrawn_at is None]
        own = [one for one in asked if not one.evidence.startswith(links.UNITED)]
        people = {self.ids[one] for one in self.person(name)}
        return [one for one in own if one.patient_id in people]

    def classes_of_patient(self, name: Name) -> set[str]:
        found = {one for each in self.person(name) for one in self.of_patient[each]}
        texts = {pk for key, pk in self.resources.items() if "/Patient/" in key}
        return found | {
            one.sensitive_class
            for one in self.asked_back(name)
            if (one.resource_id in texts if one.resource_id else one.section in WHOLE_RECORD)
        }

    def classes_of(self, said: Said, seen: frozenset[str] = frozenset()) -> set[str]:
        """Its own labels, those of its patient, and all of what it repeats."""
        found = set(said.classes) | self.classes_of_patient(said.about)
        for one in self.asked_back(said.about):
            if one.resource_id == self.id_of(said.key) if one.resource_id else one.section in ("", said.section):
                found.add(one.sensitive_class)
        if taken := self.taken(said):
            found |= taken.classes
        for key in said.repeats - seen:
            found |= self.classes_of(self.said[key], seen | {said.key})
        return found

    def id_of(self, key: str) -> Any:
        source, kind, id = key.split("/")
        return self.resources[f"{source}/{kind.partition(':')[0]}/{kind.replace(':', '-')}-{id}"]

    def patient_visible(self, user: User, organisation: Organisation | None, name: Name) -> bool:
        classes, came = self.classes_of_patient(name), self.patients[self.ids[name]].received_at
        return self.visible(user, organisation, name, frozenset(), Section.DEMOGRAPHICS, classes, came)

    def allows(self, user: User, organisation: Organisation | None, said: Said) -> bool:
        if said.gone:
            return False
        taken = self.taken(said)
        last = max(said.came, taken.came if taken else 1)
        came = self.looked_at - timedelta(hours=2) if last == 1 else self.looked_at
        classes = self.classes_of(said)
        return self.visible(user, organisation, said.about, said.others, said.section, classes, came)

    def visible(
        self, user: User, organisation: Organisation | None, about: Name, others: frozenset[Name], section: str,
        classes: set[str], came: datetime,
    ) -> bool:  # fmt: skip
        source = self.feeds[about[0]].source
        site = source.facility_id
        chosen = organisation and organisation.pk
        if self.paused(user_id=user.pk) or (chosen and self.paused(organisation_id=chosen)):
            return False
        stops = [one for one in self.rows[FeedStop] if one.resumed_at is None and one.source_id == source.pk]
        if any(one.hidden_since <= came for one in stops):
            return False
        pairs = [
            (grant, agreement)
            for grant in self.rows[Grant]
            for agreement in self.rows[Agreement]
            if (grant.guest_id, grant.organisation_id, grant.ended_at) == (user.pk, chosen, None)
            and agreement.organisation_id == chosen
            and self.in_force(grant)
            and self.in_force(agreement)
            and not self.paused(grant_id=grant.pk)
            and self.may_still_look_up(grant, agreement)
        ]
        allows = partial(self.pair_allows, site=site, section=section, classes=classes)
        everybody = {about, *others}
        if any(allows(*pair, names=everybody) for pair in pairs) and not self.refused(everybody, organisation):
            return True
        mine = [one for one in self.rows[EmergencyAccess] if one.guest_id == user.pk and one.ended_at is None]
        mine = [one for one in mine if one.organisation_id == chosen and one.patient_id == self.ids[about]]
        by_own = any(one.started_at <= self.now < one.ends_at for one in mine) and any(
            grant.may_use_emergency_access
            and agreement.may_use_emergency_access
            and site in self.sites.get(agreement.pk, ())
            for grant, agreement in pairs
        )
        if not (by_own or self.reviews(user, about, site)):
            return False
        if classes & {"psychotherapy", "unknown"} or (section == Section.DOCUMENTS and "restricted" in classes):
            return False
        return all(
            any(allows(*pair, names={other}) for pair in pairs) and not self.refused({other}, organisation)
            for other in others
        )

    def may_still_look_up(self, grant: Grant, agreement: Agreement) -> bool:
        """Whether what was looked up may still be read: while the right does by which it was."""
        if grant.under_id is None:
            return True
        [right] = [one for one in self.rows[Grant] if one.pk == grant.under_id]
        stands = right.may_look_up and right.ended_at is None and self.in_force(right)
        return stands and agreement.may_look_up and not self.paused(grant_id=right.pk)

    def reviews(self, user: User, about: Name, site: Any) -> bool:
        """Whether a review by `user` opens it: of an emergency access that nobody has judged, as far as that went."""
        held = {one.pk: one for one in self.rows[EmergencyAccess]}
        mine = [one for one in self.rows[ReviewReading] if one.reviewer_id == user.pk]
        readings = [one for one in mine if one.started_at <= self.now < one.ends_at]
        emergencies = [held[one.emergency_id] for one in readings]
        return any(
            one.status == "opened" and one.patient_id == self.ids[about] and site in one.facilities
            for one in emergencies
        )

    def pair_allows(
        self, grant: Grant, agreement: Agreement, *, names: set[Name], site: Any, section: str, classes: set[str]
    ) -> bool:
        return (
            site in self.sites.get(agreement.pk, ())
            and section in grant.sections
            and section in agreement.sections
            and classes <= set(grant.classes)
            and classes <= set(agreement.classes)
            and all(self.in_scope(grant, name) for name in names)
        )

    def in_scope(self, grant: Grant, name: Name) -> bool:
        if grant.patient_id:
            return grant.patient_id == self.ids[name]
        members = [one for one in self.rows[Membership] if one.caseload_id == grant.caseload_id]
        return any(one.patient_id == self.ids[name] and self.in_force(one) for one in members)

    def refused(self, names: set[Name], organisation: Organisation | None) -> bool:
        people = {self.ids[one] for name in names for one in self.person(name)}
        return any(
            one.patient_id in people
            and one.organisation_id in (None, organisation and organisation.pk)
            and self.in_force(one)
            for one in self.rows[OptOut]
            if not one.evidence.startswith(links.UNITED)
        )

    def in_force(self, row: Any) -> bool:
        return row.starts_at <= self.now and (row.ends_at is None or self.now < row.ends_at)

    def paused(self, **target: Any) -> bool:
        ((name, key),) = target.items()
        return any(one.lifted_at is None and getattr(one, name) == key for one in self.rows[Suspension])


READ = (
    Agreement, EmergencyAccess, FeedStop, Grant, Membership, OptOut, PatientLink, RequestedLabel, ReviewReading,
    Suspension,
)  # fmt: skip
RIGHTS = ("may_look_up", "may_use_emergency_access")
CHANGES = {
    "a grant ends": World.end_grant, "a grant is given": World.give_grant, "something is paused": World.suspend,
    "pauses are lifted": World.lift, "a patient opts out": World.opt_out, "two records are linked": World.link,
    "a link is undone": World.unlink, "something is held back": World.hold_back, "it is given back": World.give_back,
    "a patient leaves a caseload": World.leave_caseload, "an agreement narrows": World.narrow_agreement,
    "a feed is stopped": World.stop_feed, "an emergency begins": World.begin_emergency,
    "emergencies end": World.end_emergency, "one is reviewed": World.review, "they are judged": World.judge,
    "a patient is looked up": World.look_up, "feeds are resumed": World.resume_feed,
    "an agreement leaves a facility": World.leave_facility,
}  # fmt: skip


def meta(classes: frozenset[str]) -> Json:
    return labelled(*({**CODE_OF, **NEVER}[one] for one in sorted(classes))) if classes else {}


def concept(mark: str) -> Json:
    return {"text": mark}


TIME = "2026-05-04T10:00:00Z"


def attached(mark: str) -> list[Json]:
    data = base64.b64encode(f"{mark} in the letter".encode()).decode()
    return [{"attachment": {"contentType": "text/plain", "data": data}}]


QUOTING: dict[str, Any] = {
    "MedicationRequest": lambda words: {"reasonReference": [words]},
    "Procedure": lambda words: {"reasonReference": [words]},
    "Encounter": lambda words: {"diagnosis": [{"condition": words}]},
    "CarePlan": lambda words: {"addresses": [words]},
    "QuestionnaireResponse": lambda words: {"item": [{"linkId": "1", "answer": [{"valueReference": words}]}]},
}
"""Where a type says the name of a problem."""

BODIES: dict[str, tuple[str, Any]] = {
    "Condition": ("problems", lambda m: {"code": concept(m), "onsetDateTime": TIME}),
    "MedicationRequest": (
        "medicines",
        lambda m: {
            "medicationCodeableConcept": concept(m), "status": "active", "intent": "order", "authoredOn": TIME,
        },
    ),
    "MedicationStatement": (
        "medicines",
        lambda m: {
            "medicationReference": ref("Medication/d"), "status": "active", "effectiveDateTime": TIME,
            "dosage": [{"text": m}],
        },
    ),
    "QuestionnaireResponse": (
        "documents", lambda m: {"questionnaire": f"urn:test:{m}", "status": "completed", "authored": TIME},
    ),
    "AllergyIntolerance": ("allergies", lambda m: {"code": concept(m), "recordedDate": TIME}),
    "Observation": (
        "results",
        lambda m: {"code": concept("A test"), "valueString": m, "status": "final", "effectiveDateTime": TIME},
    ),
    "Observation:vital": (
        "vitals",
        lambda m: {
            "code": concept("A vital sign"), "valueString": m, "status": "final", "effectiveDateTime": TIME,
            "category": [{"coding": [{"code": "vital-signs"}]}],
        },
    ),
    "Immunization": (
        "immunisations",
        lambda m: {"vaccineCode": concept(m), "status": "completed", "occurrenceDateTime": TIME},
    ),
    "Procedure": ("procedures", lambda m: {"code": concept(m), "status": "completed", "performedDateTime": TIME}),
    "Encounter": ("encounters", lambda m: {"type": [concept(m)], "status": "finished", "period": {"start": TIME}}),
    "DocumentReference": (
        "documents",
        lambda m: {"type": concept(m), "status": "current", "date": TIME, "content": attached(m)},
    ),
    "DiagnosticReport": (
        "results",
        lambda m: {"code": concept(m), "conclusion": m, "status": "final", "effectiveDateTime": TIME},
    ),
    "CarePlan": (
        "care_plans",
        lambda m: {
            "title": m, "category": [concept(m)], "status": "active", "intent": "plan", "period": {"start": TIME},
        },
    ),
    "Goal": (
        "care_plans",
        lambda m: {"description": concept(m), "lifecycleStatus": "active", "startDate": TIME[:10]},
    ),
}  # fmt: skip
"""Type -> its section and its content with a mark."""
