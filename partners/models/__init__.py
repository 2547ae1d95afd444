"""How a person outside comes to have access: organisation, sponsor, request, decision, job, invitation, guest."""

from clinicportal.states import Stateful
from partners.models.directory import Attestation, ContextCheck, DirectoryLag, DirectoryWatch, Gate, Lane
from partners.models.guests import Guest, Invitation, Notice, ProvisioningJob, RequestGrant, Reset, Step
from partners.models.incidents import Incident
from partners.models.register import Domain, IdentityProvider, PartnerOrganisation, Sponsor
from partners.models.requests import AccessRequest, Decision

__all__ = [
    "AccessRequest",
    "Attestation",
    "ContextCheck",
    "Decision",
    "DirectoryLag",
    "DirectoryWatch",
    "Domain",
    "Gate",
    "Guest",
    "IdentityProvider",
    "Incident",
    "Invitation",
    "Lane",
    "Notice",
    "PartnerOrganisation",
    "ProvisioningJob",
    "RequestGrant",
    "Reset",
    "Sponsor",
    "Stateful",
    "Step",
]
