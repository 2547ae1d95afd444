"""What patients allowed or refused, who is related to whom, and where the records came from."""

from __future__ import annotations

from datetime import timedelta

from .chart import Chart
from .fhir import ACT_CODE, Json, coding, hl7, labels, loinc, moment, ref

PRIVACY = hl7("consentscope", "patient-privacy", "Privacy Consent")
CATEGORY = [loinc("59284-0", "Consent document")]
RECIPIENT = hl7("v3-ParticipationType", "PRCP", "primary information recipient")
ACCESS = hl7("consentaction", "access", "Access")


def add_consents(chart: Chart) -> None:
    """One decision for each member of the cast that is there for it, and now and then one more."""
    riverside = [{"role": RECIPIENT, "reference": ref(chart.places.partners["riverside"], "Riverside Hospital")}]
    long_ago = chart.last_day - timedelta(days=900)
    ended = {"start": long_ago.isoformat(), "end": (chart.last_day - timedelta(days=200)).isoformat()}
    if chart.has("permit"):
        consent(chart, "OPTIN", {"type": "permit", "action": [ACCESS]})
    if chart.has("deny-all"):
        consent(chart, "OPTOUT", {"type": "deny", "action": [ACCESS]})
    if chart.has("deny-actor"):
        consent(chart, "OPTIN", {"type": "deny", "actor": riverside, "action": [ACCESS]})
    if chart.has("deny-label"):
        consent(chart, "OPTIN", {"type": "deny", "securityLabel": [labels("R", "HIV")[1]], "action": [ACCESS]})
    if chart.has("deny-ended"):
        consent(chart, "OPTOUT", {"type": "deny", "period": ended, "action": [ACCESS]})
        consent(chart, "OPTOUT", {"type": "deny", "action": [ACCESS]}, status="inactive")
    if not chart.person.key and chart.chance(0.02):
        consent(chart, "OPTOUT", {"type": "deny", "action": [ACCESS]})


def consent(chart: Chart, rule: str, provision: Json, *, status: str = "active") -> None:
    """A decision taken 900 days before the end for one that is over, 60 days before for one that counts."""
    over = status != "active" or "period" in provision
    at = chart.at(max(chart.person.born, chart.last_day - timedelta(days=900 if over else 60)))
    words = {"OPTIN": "opt-in", "OPTOUT": "opt-out"}[rule]
    chart.add(
        "Consent",
        at,
        status=status,
        scope=PRIVACY,
        category=CATEGORY,
        patient=chart.subject,
        dateTime=moment(at),
        organization=[ref(chart.places.facility, chart.source.title)],
        policyRule={"coding": [coding(ACT_CODE, rule, words)]},
        provision=provision,
    )


def add_relations(chart: Chart) -> None:
    """The newborn's mother as a related person; she is a patient too."""
    if chart.has("newborn"):
        chart.add(
            "RelatedPerson",
            chart.at(chart.person.born),
            active=True,
            patient=chart.subject,
            relationship=[hl7("v3-RoleCode", "MTH", "mother")],
            name=[{"family": chart.person.family, "given": ["Elodie"]}],
        )


def add_provenance(chart: Chart) -> None:
    """Which feed the record came by. A merge names both patients, so that only who may see both may see it."""
    targets = [chart.subject]
    if chart.has("merged-kept") and (duplicate := chart.member("merged-away")):
        targets.append(duplicate)
    at = chart.at(chart.last_day, 20)
    chart.add(
        "Provenance",
        at,
        target=targets,
        recorded=moment(at),
        activity=hl7("v3-DataOperation", "CREATE", "create"),
        agent=[
            {
                "type": hl7("provenance-participant-type", "transmitter", "Transmitter"),
                "who": ref(chart.places.facility, chart.source.title),
            }
        ],
    )
