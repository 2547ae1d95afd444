"""The failure dictionary: what a code of the job means, to the sponsor and to our staff. Nobody reads raw codes."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise


@dataclass(frozen=True)
class Sentence:
    sponsor: Text
    staff: Text


BY_HAND = _("Our team has to finish this by hand. There is nothing for you to do.")
SLOW = _("The directory is slow")

PARKED = {
    "member_exists": Sentence(
        _("This person already has an account with us. Our team will finish this by hand."),
        _("The address belongs to a member of our own directory, who is never invited as a guest. End this request."),
    ),
    "known_otherwise": Sentence(
        BY_HAND,
        _(
            "The directory holds this person under an account that the portal knows by another address. End this "
            "request and ask the sponsor to ask for that address."
        ),
    ),
    "ambiguous": Sentence(
        _("There is an old entry for this address in our directory. We are clearing it up."),
        _("Several accounts in the directory have this address. Leave it to one of them, then try again."),
    ),
    "address_conflict": Sentence(
        _("There is an old entry for this address in our directory. We are clearing it up."),
        _("A contact, group or other account owns this address. Remove the old entry, then try again."),
    ),
    "account_blocked": Sentence(
        BY_HAND,
        _("The account is blocked from signing in. We never unblock an account ourselves: find out why it is."),
    ),
    "invitations_disabled": Sentence(
        BY_HAND,
        _(
            "The tenant does not let applications invite guests. Change who may invite in its external collaboration "
            "settings, then try again."
        ),
    ),
    "cross_tenant": Sentence(
        BY_HAND,
        _(
            "Cross-tenant access settings block this organisation. Allow B2B collaboration with its tenant, then try "
            "again."
        ),
    ),
    "domain_blocked": Sentence(
        BY_HAND,
        _("The domain is on the tenant's list of blocked domains. Take it off the list, then try again."),
    ),
    "own_domain": Sentence(
        BY_HAND, _("The address is in a domain of our own tenant, so its people cannot be guests. End this request.")
    ),
    "address_invalid": Sentence(
        _("The directory does not accept this address. Please ask again with another one."),
        _("The directory does not accept this address. End this request and ask the sponsor for another address."),
    ),
    "address_changed": Sentence(
        BY_HAND, _("The guest's account no longer has this address. Add it to the account, then try again.")
    ),
    "not_permitted": Sentence(
        BY_HAND, _("The job lacks a permission in Microsoft Graph. The operator can see which with `entra check`.")
    ),
    "not_there_yet": Sentence(
        BY_HAND, _("The directory did not show the guest within the usual time, or the account was deleted meanwhile.")
    ),
    "not_a_member_yet": Sentence(
        BY_HAND, _("The guest does not show in the access group, or somebody took them out. Try again.")
    ),
    "address_refused": Sentence(
        _("The mail server says that this address does not exist. Please check it with your colleague."),
        _("The mail server refused the recipient for good. Check the address with the sponsor."),
    ),
    "mail_refused": Sentence(BY_HAND, _("The mail server refused our mail for good. The operator has to look at it.")),
    "context_not_bound": Sentence(
        BY_HAND,
        _(
            "No policy in our tenant asks everybody for a second factor in this authentication context, so the portal "
            "lets nobody pass. Mend the Conditional Access policy; the portal notices within a minute."
        ),
    ),
    "context_unknown": Sentence(
        BY_HAND,
        _(
            "The portal cannot read whether a policy is bound to this authentication context, so it lets nobody pass. "
            "Grant Policy.Read.All to the Graph registration, or attest it: `manage.py entra attest`."
        ),
    ),
    "attestation_ends": Sentence(
        BY_HAND,
        _(
            "The attestation for this authentication context runs out on that day. Attest it again on the page "
            "“Sign-in safety”, or nobody can pass from then on."
        ),
    ),
    "unknown_person": Sentence(BY_HAND, _("The job lost track of the person in the directory. Try again.")),
}
UNKNOWN = Sentence(
    BY_HAND, _("The directory refused in a way that we do not know. The operator finds the answer in the worker's log.")
)

WAITING = {
    "throttled": _("The directory is busy"),
    "not_there_yet": SLOW,
    "not_a_member_yet": SLOW,
    "no_answer": _("The directory did not answer"),
    "unanswered": _("The directory did not answer"),
    "not_found_after_lost_answer": _("The directory did not answer, we look once more what became of it"),
    "unreachable": _("The directory cannot be reached"),
    "token_refused": _("The directory asked us to sign in again"),
    "credentials": _("The directory does not accept our credentials. Our operator has to renew them"),
    "mail_server_away": _("The mail server cannot be reached"),
}


def parked(code: str) -> Sentence:
    return PARKED.get(code, UNKNOWN)


def waiting(code: str) -> Text:
    """Why a step waits, as the beginning of a sentence; empty when it simply has not been tried again yet."""
    return WAITING.get(code, "")
