"""Sign-in at Entra ID: allauth's OpenID Connect provider, with what it leaves out.

allauth sends no nonce, does not verify the signature in the code flow, and lets the browser's query
string override the parameters of the authorisation request. Here: PKCE and a nonce for each attempt,
the ID token verified by partners/idtoken.py, the query string ignored, no userinfo, no email.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from requests import RequestException

from partners import idtoken


class EntraAdapter(OpenIDConnectOAuth2Adapter):
    nonce = ""

    @property
    def openid_config(self) -> dict[str, Any]:
        return idtoken.discovery()

    @property
    def basic_auth(self) -> bool:
        return False

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return request.build_absolute_uri(reverse("sign-in-callback"))

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        claims = idtoken.verify(kwargs["response"].get("id_token", ""), nonce=self.nonce)
        request.entra_claims = claims  # type: ignore[attr-defined]
        return self.get_provider().sociallogin_from_response(request, {"id_token": claims})


class EntraProvider(OpenIDConnectProvider):
    id = "entra"
    oauth2_adapter_class = EntraAdapter

    def redirect(self, request: HttpRequest, process: str, next_url: str | None = None, data: Any = None, **_: Any):
        """Send the browser to the tenant. Whatever the query string asked for is not passed on."""
        nonce = secrets.token_urlsafe(32)
        parameters = asking_for(settings.ENTRA_CONTEXT_SIGN_IN, nonce)
        if request.POST.get("account") == "other":
            parameters["prompt"] = "select_account"
        return super().redirect(
            request, process, next_url, data, auth_params=parameters, scope=self.get_default_scope(), nonce=nonce
        )

    def extract_uid(self, data: dict[str, Any]) -> str:
        claims = data["id_token"]
        return f"{claims['tid']}:{claims['oid']}"

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        return {}  # claims hold personal data; what we need is on the person

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        return {}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[Any]:
        return []  # an address never identifies anyone


provider_classes = [EntraProvider]


def asking_for(context: str, nonce: str) -> dict[str, str]:
    """Parameters of an authorisation request for an authentication context: an essential claim, which Entra issues
    (`acrs`) only when the Conditional Access policy of the context is met."""
    claims = {"id_token": {"acrs": {"essential": True, "value": context}}}
    return {"nonce": nonce, "claims": json.dumps(claims), "response_mode": "query"}


class CallbackView(OAuth2CallbackView):
    """The return from the tenant; hands the attempt's nonce to the adapter."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            with idtoken.turn():
                return super().dispatch(request, *args, **kwargs)
        except (idtoken.Invalid, RequestException, ValueError, KeyError) as trouble:
            # ValueError and KeyError: what came back is not the JSON that the protocol promises.
            return get_adapter().refuse(request, trouble)

    def _get_state(self, request: HttpRequest, provider: Any) -> Any:
        state, response = super()._get_state(request, provider)
        if state is not None:
            self.adapter.nonce = state.get("nonce", "")
        return state, response
