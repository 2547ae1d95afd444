"""Where people come from: kinds of home account, and their names in tokens and user objects (entra.md §2, §8, §9)."""

from __future__ import annotations

from .store import Json

# In the order in which redemption looks for an account (entra.md §8).
KINDS = ("entra", "saml", "google", "msa", "mail")
KIND_NAMES = {
    "entra": "work or school account",
    "saml": "account of a federated organisation",
    "google": "Google account",
    "msa": "personal Microsoft account",
    "mail": "one-time passcode by email",
}
GOOGLE_DOMAINS = {"gmail.example", "gmail.com", "googlemail.com"}
PERSONAL_DOMAINS = {"outlook.example", "outlook.com", "hotmail.com", "live.com"}


def kind_for(address: str, *, has_tenant: bool, is_federated: bool, passcodes: bool) -> str:
    """The kind of account that redemption would use for an address that nobody has an account for (entra.md §8).

    With passcodes switched off, a personal Microsoft account is made instead.
    """
    domain = domain_of(address)
    if has_tenant:
        return "entra"
    if is_federated:
        return "saml"
    if domain in GOOGLE_DOMAINS:
        return "google"
    return "mail" if passcodes and domain not in PERSONAL_DOMAINS else "msa"


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].strip().lower()


def identity_issuer(account: Json) -> str:
    """`identities[].issuer` of the guest that this account redeemed (entra.md §2)."""
    issuers = {"entra": "ExternalAzureAD", "msa": "MicrosoftAccount", "google": "google.com", "mail": "mail"}
    return issuers.get(account["kind"]) or account["issuer"]


def identity_provider(account: Json | None) -> str:
    """`idp`: who vouches for the guest (entra.md §9). An account that is gone leaves the word of the mail system."""
    if account is None or account["kind"] == "mail":
        return "mail"
    if account["kind"] == "entra":
        return f"https://sts.windows.net/{account['tenant']}/"
    return {"msa": "live.com", "google": "google.com"}.get(account["kind"]) or account["issuer"]
