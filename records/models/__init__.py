"""What is protected, and who may see it now.

The rule (docs/glossary.md, "visible"): a resource is visible when *one* grant in force, under *one*
agreement in force, allows all of it: facility, section, every sensitive class, the patient in the
caseload now (or named), no opt-out. It stands twice on purpose: in `Patient.objects.visible_to` (patients.py)
and `Resource.objects.visible_to` (resources.py), which both ask the conditions of `to_cover` (grants.py), and in the
row-level security of migrations/0002_wall.py and its successors. Grants never add up within one resource.

Beside grants there is one more way in, for an hour and always reviewed: emergency access (emergencies.py).
"""

from records.models.byhand import ByHand
from records.models.caseloads import Caseload, CaseloadSize, Membership, events_of_care, members_of
from records.models.emergencies import EmergencyAccess, ReviewReading
from records.models.feeds import Facility, FeedStop, Import, Rejection, Source
from records.models.grants import Among, Contains, Grant, OptOut, has_accepted_terms, last_day, may_view
from records.models.lookups import LookUp
from records.models.organisations import Agreement, Organisation, Suspension
from records.models.patients import Look, Patient, PatientLink, PatientToken, SavedFilter
from records.models.questions import PatientNumbered, Question
from records.models.resources import (
    AlsoAbout,
    Awaited,
    Move,
    RecordReport,
    ReferredName,
    RequestedLabel,
    Resource,
    ResourceIdentifier,
    ResourceVersion,
)
from records.models.scope import UNGRANTABLE, InForceQuerySet, Section, SensitiveClass, classes_field, sections_field

__all__ = [
    "UNGRANTABLE",
    "Agreement",
    "AlsoAbout",
    "Among",
    "Awaited",
    "ByHand",
    "Caseload",
    "CaseloadSize",
    "Contains",
    "EmergencyAccess",
    "Facility",
    "FeedStop",
    "Grant",
    "Import",
    "InForceQuerySet",
    "Look",
    "LookUp",
    "Membership",
    "Move",
    "OptOut",
    "Organisation",
    "Patient",
    "PatientLink",
    "PatientNumbered",
    "PatientToken",
    "Question",
    "RecordReport",
    "ReferredName",
    "Rejection",
    "RequestedLabel",
    "Resource",
    "ResourceIdentifier",
    "ResourceVersion",
    "ReviewReading",
    "SavedFilter",
    "Section",
    "SensitiveClass",
    "Source",
    "Suspension",
    "classes_field",
    "events_of_care",
    "has_accepted_terms",
    "last_day",
    "may_view",
    "members_of",
    "sections_field",
]
