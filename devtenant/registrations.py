"""App registrations: the portal's two from the start, others by control or from a file (entra.md §9, §16)."""

from __future__ import annotations

import tomllib
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from .credentials import thumbprints
from .errors import Mistake
from .seed import APP_DEFAULTS, federated_credential
from .store import Json
from .tenant import Tenant


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and urlsplit(value).scheme in ("http", "https") and bool(urlsplit(value).netloc)


# The words of control and of files -> the property, and how a value is checked.
PROPERTIES: dict[str, tuple[str, Any]] = {
    "name": ("displayName", lambda v: isinstance(v, str) and bool(v)),
    "secrets": ("secrets", _are_strings),
    "redirect_uris": ("redirectUris", lambda v: _are_strings(v) and all(_is_address(item) for item in v)),
    "redirect_hosts": ("redirectHosts", _are_strings),
    "logout_url": ("logoutUrl", lambda v: v is None or _is_address(v)),
    "optional_claims": ("optionalClaims", _are_strings),
    "permissions": ("permissions", _are_strings),
    "assignment_required": ("appRoleAssignmentRequired", lambda v: isinstance(v, bool)),
}
CREDENTIALS = ("certificates", "federated")


def register(tenant: Tenant, asked: Json) -> Json:
    """Register an app, or change one that is there.

    {"client_id"?, "name", "secrets", "redirect_uris", "redirect_hosts", "logout_url", "optional_claims", "permissions",
    "assignment_required", "certificates": [pem], "federated": [{"issuer", "subject", "audience"?}]}, all optional; what
    is not named stays. A redirect host is one whose every http address is registered, whatever the port.
    """
    if unknown := set(asked) - set(PROPERTIES) - {"client_id", *CREDENTIALS}:
        raise Mistake(f"An app has no {', '.join(sorted(unknown))}; it has {', '.join((*PROPERTIES, *CREDENTIALS))}.")
    key = str(asked.get("client_id") or uuid.uuid4()).lower()
    app = tenant.app(key) or _blank(key)
    for word, (name, check) in PROPERTIES.items():
        if word in asked:
            if not check(asked[word]):
                raise Mistake(f"{asked[word]!r} is not a value for {word}.")
            app = {**app, name: asked[word]}
    if "certificates" in asked:
        app = {**app, "certificates": [_certificate(pem) for pem in asked["certificates"]]}
    if "federated" in asked:
        app = {**app, "federatedCredentials": [_federated(item) for item in asked["federated"]]}
    tenant.store.put("apps", key, app)
    return _shown(app)


def _blank(key: str) -> Json:
    return {
        "id": key,
        "displayName": "App",
        "secrets": [],
        "redirectHosts": [],
        "redirectUris": [],
        "appRoleAssignmentRequired": False,
        "appRoles": [],
        "permissions": [],
        **APP_DEFAULTS,
    }


def _certificate(pem: object) -> str:
    try:
        x509.load_pem_x509_certificate(str(pem).encode())
    except ValueError:
        raise Mistake("A certificate is a PEM text that begins with -----BEGIN CERTIFICATE-----.") from None
    return str(pem)


def _federated(item: Any) -> Json:
    if not isinstance(item, dict) or not {"issuer", "subject"} <= set(item):
        raise Mistake(
            'A federated credential is {"issuer": "…", "subject": "…"}; an issuer of ours begins /_federated/.'
        )
    rest = {"audience": item["audience"]} if "audience" in item else {}
    return federated_credential(str(item.get("name", "credential")), item["issuer"], item["subject"], **rest)


def _shown(app: Json) -> Json:
    prints = [thumbprints(x509.load_pem_x509_certificate(pem.encode())) for pem in app["certificates"]]
    return {**app, "client_id": app["id"], "certificates": [{"x5t#S256": long, "x5t": short} for long, short in prints]}


def read_file(path: Path) -> list[Json]:
    """The [[app]] tables of a TOML file, in the words of `register`. Raises Mistake."""
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, ValueError) as trouble:
        raise Mistake(f"{path} cannot be read: {trouble}") from None
    apps = found.get("app")
    if not isinstance(apps, list) or set(found) != {"app"}:
        raise Mistake(f"{path} must hold [[app]] tables and nothing else.")
    for app in apps:
        if not app.get("client_id"):
            raise Mistake(f"Each app in {path} needs a client_id, so that it is the same one at the next start.")
    return apps


CONTROLS = {"apps": register}
