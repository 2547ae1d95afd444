"""Confirming that it is you: a fresh, stronger sign-in in front of an act that needs one.

One door: a view calls `go` with the name of the act and an intention (JSON, what was pressed and typed). With a proof
that still holds the act is done. Without one the intention stays in the session, the browser goes to the tenant, which
asks for the act's authentication context, and on return the act is done once, with all its policies asked again.

The way back is a sign-in of its own (state, nonce and PKCE belong to this attempt) and never changes who is signed in:
a token of somebody else is a refusal, and so is an old sign-in or a missing context (security.md §3, step-up). The verb
behind the act demands the proof as well (clinicportal/proofs.py), whoever calls it.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.utils import generate_code_challenge
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from requests import RequestException

from clinicportal import audit
from clinicportal.middleware import PROOFS
from clinicportal.proofs import Unproved, check_proved
from clinicportal.requests import Request
from clinicportal.rules import Denied
from clinicportal.sessions import SID
from partners import assurance, failures, idtoken, signin
from partners.leaving import leave_for
from partners.provider import EntraAdapter, asking_for
from records import byhand, emergencies, emergency_views

log = structlog.get_logger(__name__)

ATTEMPTS, KEPT = "step_ups", "step_up_kept"
AT_ONCE = 5
"""Attempts of one session that are under way, in several tabs; more push out the oldest."""

Intention = dict[str, Any]


@dataclass(frozen=True)
class Act:
    """Something that needs a fresh proof: how it is done, and the page that it is asked for on."""

    do: Callable[[Request, Intention], HttpResponse]
    page: Callable[[Intention], str]
    weaker: str = ""
    """The act to go on with where the context of this one can't be met, for what cannot wait until it can."""
    typed: bool = False
    """Whether the page shows what was typed again, with the reason, when nothing was done (`kept`)."""


class Failed(Exception):
    """This attempt proves nothing; the message is a short code for the audit and for `sentence`."""


_acts: dict[str, Act] = {}


def register(name: str, act: Act) -> None:
    """Make an act known under a name of settings.STEP_UP."""
    _acts[name] = act


def go(request: Request, name: str, intention: Intention) -> HttpResponse:
    """Do the act if its proof holds, else send the person to confirm that it is them."""
    try:
        check_proved(request.user, name)
    except Unproved:
        return _ask(request, name, intention)
    return _acts[name].do(request, intention)


def kept(request: Request, name: str) -> tuple[Intention, str] | None:
    """What was typed before an attempt that failed, and the sentence that says why; once."""
    found = request.session.get(KEPT)
    if not found or found["act"] != name:
        return None
    del request.session[KEPT]
    return found["intention"], found["sentence"]


# ---------------------------------------------------------------- there


def _ask(request: Request, name: str, intention: Intention) -> HttpResponse:
    context = settings.STEP_UP[name]
    attempt: dict[str, Any] = {"act": name, "intention": intention, "at": time.time(), "user": str(request.user.pk)}
    if not assurance.admits(context):
        return _refuse(request, attempt, "context-not-bound")
    proof_key = generate_code_challenge()
    attempt |= {"nonce": secrets.token_urlsafe(32), "verifier": proof_key.pop("code_verifier")}
    state = secrets.token_urlsafe(32)
    parameters = asking_for(context, attempt["nonce"]) | {"max_age": str(settings.STEP_UP_FRESH_SECONDS)}
    parameters |= {**proof_key, "code_challenge": proof_key["code_challenge"].decode()}
    try:
        with idtoken.turn():
            url = _address(request, state, parameters)
    except TROUBLE as trouble:
        return _refuse(request, attempt, code_of(trouble))
    attempts = [*request.session.get(ATTEMPTS, {}).items(), (state, attempt)]
    request.session[ATTEMPTS] = dict(attempts[-AT_ONCE:])
    return leave_for(request, url, "partners/confirm.jinja")


def _address(request: Request, state: str, parameters: dict[str, str]) -> str:
    adapter = EntraAdapter(request, "entra")
    provider = adapter.get_provider()
    client = adapter.get_client(request, provider.app)
    client.state = state
    return client.get_redirect_url(adapter.authorize_url, provider.get_default_scope(), parameters)


# ---------------------------------------------------------------- and back


def attempt_of(request: HttpRequest) -> dict[str, Any] | None:
    """The attempt that this return from the tenant belongs to, taken out of the session: it serves once."""
    attempts = request.session.get(ATTEMPTS, {})
    attempt = attempts.pop(request.GET.get("state", ""), None)
    if attempt is None or not request.user.is_authenticated:
        return None
    request.session[ATTEMPTS] = attempts
    request.session.save()  # now: whatever happens next, this attempt is over
    return attempt


def come_back(request: Request, attempt: dict[str, Any]) -> HttpResponse:
    """Look at what the tenant says, and do the act or say why not. Nobody is signed in or out here."""
    try:
        with idtoken.turn():
            claims = _claims(request, attempt)
        identity = _proof(request, attempt, claims)
    except Failed as failure:
        return _refuse(request, attempt, str(failure))
    except TROUBLE as trouble:
        return _refuse(request, attempt, code_of(trouble))
    _keep_proof(request, attempt, claims, identity)
    act = _acts[attempt["act"]]
    try:
        return act.do(request, attempt["intention"])
    except Denied as reason:
        audit.record_refusal(
            audit.Entry(audit.Type.REFUSED, by=request.user, object_id=request.path, reason=str(reason))
        )
        return _show(request, attempt, str(reason))


def _claims(request: Request, attempt: dict[str, Any]) -> dict[str, Any]:
    """The verified ID token of this return. Raises Failed, or one of TROUBLE."""
    if "error" in request.GET:
        raise Failed(declined_because(request))
    if time.time() - attempt["at"] > settings.STEP_UP_FRESH_SECONDS:
        raise Failed("too-late")
    adapter = EntraAdapter(request, "entra")
    app = adapter.get_provider().app
    answer = adapter.get_access_token_data(
        request, app, adapter.get_client(request, app), pkce_code_verifier=attempt["verifier"]
    )
    return idtoken.verify(answer.get("id_token", ""), nonce=attempt["nonce"])


def declined_because(request: HttpRequest) -> str:
    """Microsoft's number, or "declined" for who pressed Cancel (AADSTS65004, or the protocol's word alone)."""
    number = failures.number_in(request.GET.get("error_description", "")[:200])
    return number if number not in ("", "65004") else "declined"


def _proof(request: Request, attempt: dict[str, Any], claims: dict[str, Any]) -> signin.Identity:
    """Who confirmed. Raises Failed unless it is the person of the session, afresh, in the context of the act."""
    user, identity = request.user, signin.Identity.of(claims)
    same = (identity.tenant_id, identity.object_id) == (user.tenant_id, user.object_id)
    if not same or attempt["user"] != str(user.pk):
        raise Failed("another-person")
    context = settings.STEP_UP[attempt["act"]]
    if context not in identity.contexts:
        raise Failed("no-context")
    if not assurance.admits(context):
        raise Failed("context-not-bound")
    idtoken.check_fresh(claims, seconds=settings.STEP_UP_FRESH_SECONDS)
    return identity


def _keep_proof(request: Request, attempt: dict[str, Any], claims: dict[str, Any], identity: signin.Identity) -> None:
    """The session gets a new key with the proof: whoever knew the old one has neither."""
    context = settings.STEP_UP[attempt["act"]]
    request.session.cycle_key()
    request.session[PROOFS] = {**request.session.get(PROOFS, {}), context: timezone.now().isoformat()}
    request.session[SID] = signin.sid_of(claims)
    request.user.proofs = {**request.user.proofs, context: timezone.now()}
    with transaction.atomic():
        signin.refresh_roles(request.user, identity)
        detail = {"acrs": sorted(identity.contexts), "act": attempt["act"]}
        audit.record(audit.Type.STEPPED_UP, by=request.user, detail=detail)


# ---------------------------------------------------------------- what went wrong

TROUBLE = (idtoken.Invalid, OAuth2Error, RequestException, ValueError, KeyError)
"""The tenant is away, or what it sent is not what the protocol promises."""


def code_of(trouble: Exception) -> str:
    """A short code: never the text, which may quote what the tenant sent."""
    return str(trouble) if isinstance(trouble, idtoken.Invalid) else type(trouble).__name__


def _refuse(request: Request, attempt: dict[str, Any], code: str) -> HttpResponse:
    """Nothing is done, what was typed is back on the page; an act with a weaker way goes on with that one where the
    portal itself knows that the context cannot be met. No answer of a browser leads there."""
    log.warning("step-up failed", code=code, act=attempt["act"])
    entry = audit.Entry(audit.Type.STEP_UP_REFUSED, by=request.user, reason=code, detail={"act": attempt["act"]})
    audit.record_refusal(entry)
    weaker = _acts[attempt["act"]].weaker
    if weaker and code == "context-not-bound":
        return _ask(request, weaker, attempt["intention"])
    return _show(request, attempt, sentence(code))


def _show(request: Request, attempt: dict[str, Any], why: str) -> HttpResponse:
    act = _acts[attempt["act"]]
    if act.typed:
        request.session[KEPT] = {"act": attempt["act"], "intention": attempt["intention"], "sentence": why}
    else:
        messages.warning(request, why)
    return redirect(act.page(attempt["intention"]))


# ---------------------------------------------------------------- acts of other apps


def confirm(request: Request, unproved: Unproved) -> HttpResponse:
    """For the middleware: a view of an app that knows nothing of sign-in met a missing proof (settings.CONFIRM)."""
    return _ask(request, unproved.act, {"page": unproved.page, "about": unproved.about})


def _confirmed(request: Request, intention: Intention) -> HttpResponse:
    """What leaves as a file cannot be the answer to a way back from another site: the person presses once more."""
    messages.success(request, _("You have confirmed that it is you. Press the button once more."))
    return redirect(intention["page"])


def _back_to_form(request: Request, intention: Intention) -> HttpResponse:
    """What is typed there names a patient, so nothing of it was kept: the form is open now."""
    messages.success(request, _("You have confirmed that it is you. Now fill in the form."))
    return redirect(intention["page"])


def _begin_emergency(request: Request, intention: Intention) -> HttpResponse:
    """With a fresh sign-in alone only while the stronger one cannot be had."""
    weaker = not assurance.admits(settings.STEP_UP[emergencies.ACT])
    return emergency_views.begin(request, uuid.UUID(intention["about"]), weaker=weaker)


register("export", Act(_confirmed, lambda intention: intention["page"]))
register(byhand.ACT, Act(_back_to_form, lambda intention: intention["page"]))
register(emergencies.ACT, Act(_begin_emergency, lambda intention: intention["page"], weaker=emergencies.WEAKER_ACT))
register(emergencies.WEAKER_ACT, Act(_begin_emergency, lambda intention: intention["page"]))


def sentence(code: str) -> str:
    """What happened, for the person, and what to do next."""
    known = {
        "context-not-bound": _(
            "We cannot check just now that it is you. Our operator knows. Nothing was done; please try again later."
        ),
        "declined": _("You stopped before you confirmed that it is you, so nothing was done. What you wrote is here."),
        "another-person": _(
            "You confirmed with another account than the one you are signed in with here, so nothing was done. Please "
            "try again with your own."
        ),
        "no-context": _("The confirmation was not strong enough, so nothing was done. Please try again."),
        "not-fresh": _("You confirmed too long ago, so nothing was done. Please try again."),
        "too-late": _("Confirming took longer than five minutes, so nothing was done. Please try again."),
    }
    if code in known:
        return known[code]
    if failures.number_in(code) and (failure := failures.sign_in(code)).known:
        return f"{failure.guest} " + _("Nothing was done.")
    return _("We could not confirm that it is you, so nothing was done. Please try again in a few minutes.")
