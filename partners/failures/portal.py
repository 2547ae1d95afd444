"""Codes of our own sign-in: signin.TurnedAway, idtoken.Invalid, and what the way to the tenant can end with."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from partners.failures.words import AGAIN, CALL_US, COULD_NOT, Failure, Next, Turn

TURNED_AWAY = {
    "no-second-factor": Failure(
        _("One more step before you can see patient records"),
        _("Your sign-in did not include a second check, such as your phone."),
        _("Your colleague signed in without a second check, such as a phone, so nothing was shown."),
        _("The token carried no proof of a second factor. If it happens to everybody, the policy of the "
          "authentication context is off or not bound."),
        Next(Turn.GUEST, _("Sign in again and confirm with your phone when you are asked."), "new-phone",
             _("I have a new phone")),
    ),
    "inactive": Failure(
        _("Your access has ended"),
        _("Nothing you did here is deleted, and nothing is wrong with your account."),
        _("This account is closed here. You can ask for access again."),
        _("The account is inactive in the portal."),
        Next(Turn.SPONSOR, _("If you still need it for your work, your sponsor can ask again. It takes a minute.")),
    ),
    "no-access": Failure(
        _("Your access has ended"),
        _("Nothing you did here is deleted, and nothing is wrong with your account."),
        _("Access has ended. You can ask for it again."),
        _("The person has no grant and is no sponsor now."),
        Next(Turn.SPONSOR, _("If you still need it for your work, your sponsor can ask again. It takes a minute.")),
    ),
    "not-expected": Failure(
        _("We do not expect this account"),
        _("Your sign-in worked, but no invitation belongs to the account that you used. Nothing was opened."),
        _("Somebody signed in with an account that nobody asked for. Nothing was shown."),
        _("No invitation and no staff role expects this identity."),
        Next(Turn.GUEST, _("If you have several accounts, sign in with the one that the invitation names. If nobody "
                           "has invited you yet, ask a sponsor at your organisation.")),
    ),
    "suspended": Failure(
        _("Your access is paused"),
        _("We are checking something. You do not need to do anything now."),
        _("Access is paused while we check something."),
        _("The person is suspended; the reasons are on the request's page."),
        Next(Turn.STAFF, _("Your sponsor can tell you more, or call us.")),
    ),
    "wrong-account": Failure(
        _("You signed in with another account"),
        _("No records were opened."),
        _("Somebody used another account than the one invited. Nothing was shown."),
        _("The expected directory object, reached with an account that nobody invited: another organisation, a "
          "personal account, or a colleague with a forwarded link."),
        Next(Turn.GUEST, _("If you are the person who was invited, start again with the account that the mail names. "
                           "If the mail was forwarded to you, ask your own sponsor: each person needs their own "
                           "access.")),
    ),
    "invitation-expired": Failure(
        _("Your invitation has run out"),
        _("Nothing is lost. The invitation was meant to be used within two weeks."),
        _("The link ran out before it was used. You can send a new one."),
        _("Redeemed at Entra after our invitation had ended, so nobody was admitted."),
        Next(Turn.GUEST, _("Open the link in the mail once more and press “Send me a new link”, or ask your sponsor "
                           "to send it again.")),
    ),
    "context-not-bound": Failure(
        _("We cannot let anyone in just now"),
        _("Nothing is wrong with your account. A safety check of our sign-in did not pass, and our operator knows."),
        _("A safety check of our sign-in did not pass, so nobody new is let in. We are working on it."),
        _("No policy is bound to the authentication context of sign-in, or that cannot be read."),
        Next(Turn.OPERATOR, _("Whoever is signed in can go on working. Please try again in a few minutes."),
             "sign-in", _("Try again")),
    ),
    "identity-check": Failure(
        _("We are making sure that it is you"),
        _("Your way to sign in has changed, so our team confirms it before you go on. Nothing was opened."),
        _("Our team confirms that it is the same person before a new link goes out."),
        _("Somebody has to confirm that the same person will be behind this account."),
        Next(Turn.STAFF, _("We write to you once it is done. There is nothing for you to do now.")),
    ),
}  # fmt: skip

_UNTRUSTED = Failure(
    COULD_NOT,
    _("What your organisation's sign-in told us could not be trusted, so nothing was opened."),
    _("A sign-in could not be checked, so nothing was shown. Trying again usually helps."),
    _("The ID token did not pass our checks: signature, issuer, audience, tenant or times."),
    AGAIN,
)
_EXPIRED = Failure(
    COULD_NOT,
    _("The sign-in took too long, or a clock is wrong. Nothing was opened."),
    _("A sign-in took too long. Trying again helps."),
    _("The ID token's times did not fit. If it happens to everybody, check the clock of the web server."),
    AGAIN,
)
_AWAY = Failure(
    COULD_NOT,
    _("The sign-in service does not answer at the moment. Nothing was opened."),
    _("The sign-in service was away. Please try again in a few minutes."),
    _("The tenant's sign-in could not be reached, or its answer was not what the protocol promises."),
    Next(Turn.GUEST, _("Please try again in a few minutes. While the sign-in service is down, the portal is down "
                       "for you as long."), "sign-in", _("Sign in again")),
)  # fmt: skip
_INTERRUPTED = Failure(
    COULD_NOT,
    _("This can happen when a sign-in takes long, is started twice, or is stopped half-way. Nothing was opened."),
    _("A sign-in was started twice or stopped half-way. Trying again helps."),
    _("The return from the tenant belonged to no sign-in that this browser had started, or was refused there."),
    AGAIN,
)
_MISCONFIGURED = Failure(
    COULD_NOT,
    _("Something is set wrongly on our side. Nothing was opened."),
    _("Something is set wrongly on our side. We are told and look into it."),
    _("The tenant's configuration names another issuer than ENTRA_AUTHORITY."),
    CALL_US,
)

ATTEMPT = {
    # idtoken.Invalid, with our codes
    **dict.fromkeys(["malformed", "algorithm", "unknown-key", "several-audiences", "tenant", "nonce"], _UNTRUSTED),
    "discovery-issuer": _MISCONFIGURED,
    "not-fresh": Failure(
        COULD_NOT,
        _("That sign-in was too old for what you wanted to do. Nothing was opened."),
        _("A sign-in was too old for what it was needed for. Signing in again helps."),
        _("The token's auth_time is missing or too old for the act. If it happens to everybody, make auth_time an "
          "optional claim of the ID token."),
        AGAIN,
    ),
    # idtoken.Invalid, with the names of PyJWT's exceptions
    **dict.fromkeys(
        ["InvalidTokenError", "DecodeError", "InvalidSignatureError", "InvalidAudienceError", "InvalidIssuerError",
         "MissingRequiredClaimError", "InvalidKeyError", "InvalidAlgorithmError", "PyJWKError", "InvalidSubjectError",
         "InvalidJTIError"],
        _UNTRUSTED,
    ),
    **dict.fromkeys(["ExpiredSignatureError", "ImmatureSignatureError", "InvalidIssuedAtError"], _EXPIRED),
    # the way to the tenant and back: requests, JSON, allauth
    **dict.fromkeys(
        ["ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout", "SSLError", "ChunkedEncodingError",
         "tenant-away", "tenant-slow", "tenant-malformed",
         "RequestException", "HTTPError", "JSONDecodeError", "ValueError", "KeyError", "InvalidURL",
         "OutsideAllowlist"],
        _AWAY,
    ),
    **dict.fromkeys(["state", "no-code", "declined-at-entra", "PermissionDenied", "OAuth2Error", "NoneType", "unknown",
                     "cancelled", "denied"], _INTERRUPTED),
}  # fmt: skip

UNKNOWN = Failure(
    COULD_NOT,
    _("Something went wrong that we have no words for yet. Nothing was opened."),
    _("A sign-in failed in a way that we do not know yet. We are told and look into it."),
    _("The dictionary has no entry for this sign-in error."),
    Next(Turn.GUEST, _("Please try again. If it happens again, call us and read out the reference on this page."),
         "sign-in", _("Sign in again")),
    known=False,
)  # fmt: skip
