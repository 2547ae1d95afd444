"""Numbers on Microsoft's own error pages (AADSTS...).

Source: reference entra.md §13, after Microsoft's list of authentication and authorisation error codes. Most of them
are shown at Microsoft and never reach us; the guest finds them on the help page by number.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from partners.failures.words import Failure, Next, Text, Turn

PRIVATE_WINDOW = _(
    "Open a private window of your browser, copy the link from our mail into it, and use the account that the mail "
    "names."
)
THEIR_IT = _("Please send the note below to your IT team.")
OUR_SIDE = _("This is set on our side, not at your organisation. Please call us and read out the number.")


def _guests(title: Text, guest: Text, staff: Text, text: Text, sponsor: Text = "", page: str = "") -> Failure:
    """For what the person can mend alone."""
    told = sponsor or _("Your colleague can mend this alone: the help page of the sign-in says how.")
    return Failure(title, guest, told, staff, Next(Turn.GUEST, text, page))


def _partners(title: Text, guest: Text, staff: Text, text: Text = THEIR_IT) -> Failure:
    """For what the partner's IT has to do."""
    sponsor = _("Your organisation's sign-in does not let this person through. Please send the note for your IT team, "
                "which is on the help page of the sign-in.")  # fmt: skip
    return Failure(title, guest, sponsor, staff, Next(Turn.PARTNER_IT, text))


def _ours(title: Text, guest: Text, staff: Text, turn: Turn = Turn.OPERATOR) -> Failure:
    sponsor = _("This is set on our side. Please call us and tell us the number that Microsoft shows.")
    return Failure(title, guest, sponsor, staff, Next(turn, OUR_SIDE))


_NOT_OUR_GUEST = _guests(
    _("Microsoft does not know this account as our guest"),
    _("You are signed in at Microsoft with an account that was not invited, often a second or a personal one."),
    _("The account is no guest of our tenant, or the guest was redeemed with another account. If the person is sure "
      "of the account, let them start again."),
    _("Open a private window of your browser, copy the link from our mail into it, and use the account that the mail "
      "names. If that does not help, press “Send me a new link” there, or ask your sponsor to send it again."),
)  # fmt: skip
_SECOND_FACTOR = _guests(
    _("Microsoft needs your second check"),
    _("Microsoft asks for a second check, such as your phone, or for setting one up, and it was not completed."),
    _("The second factor was not completed or is not registered."),
    _("Sign in again and follow Microsoft's steps to the end. If you have a new phone or lost yours, read what to do."),
    page="new-phone",
)
_AGAIN = _guests(
    _("Your sign-in at Microsoft has run out"),
    _("Microsoft wants you to sign in again. Nothing is wrong with your account."),
    _("The session at Entra ended: sign-in frequency, or its tokens were revoked."),
    _("Sign in again."),
    page="sign-in",
)
_DEVICE = _partners(
    _("Microsoft does not accept this device"),
    _("A rule asks for a device that an organisation manages. Try from your usual work computer."),
    _(
        "A Conditional Access policy asks for a compliant or joined device. Guests cannot meet that unless our tenant "
        "trusts device claims of theirs: leave guests out of it, or trust the partner's claims."
    ),
    _("Try from your usual work computer. If you did, please send the note below to your IT team, and call us."),
)
_CONSENT = _guests(
    _("You did not accept what Microsoft asked"),
    _("Microsoft asked whether we may see your name and address, and that was not accepted. Nothing was opened."),
    _("Consent is missing or was declined. If everybody meets it, grant admin consent to the sign-in registration."),
    _("Open the link in the mail again and press Accept. If you cannot, send the note below to your IT team."),
)

NUMBERS = {
    "50020": _NOT_OUR_GUEST,
    "16003": _NOT_OUR_GUEST,
    "51004": _NOT_OUR_GUEST,
    "90072": _NOT_OUR_GUEST,
    "16000": _guests(
        _("Microsoft could not choose between your accounts"),
        _("Several accounts are signed in at Microsoft in this browser, and none of them fits by itself."),
        _("Several sessions in one browser."),
        PRIVATE_WINDOW,
    ),
    "50034": _partners(
        _("Your organisation does not know this account"),
        _("The account that was typed does not exist at your organisation. Check the spelling first."),
        _("The account does not exist in the home tenant: a typing mistake, or the address is not a sign-in name "
          "there. A new address can be reported on the request's page."),
        _("Check the spelling. If the address is right and is not your sign-in name, ask your sponsor to report the "
          "address that you sign in with, or send the note below to your IT team."),
    ),
    "50014": _guests(
        _("Your invitation has not been accepted yet"),
        _("Microsoft knows you as invited, but the invitation was not accepted to the end."),
        _("The guest is pending: redemption was not completed."),
        _("Open the newest link in your mail, press “Continue to sign in”, and then Accept. If that does not "
          "help, press “Send me a new link” there."),
    ),
    "50105": _ours(
        _("Microsoft does not let you into the portal yet"),
        _("Your account is fine, but it is not in our access group, or the directory has not caught up yet. Wait a "
          "quarter of an hour and try again first."),
        _("The guest is not assigned to the application: not a direct member of the access group, or somebody took "
          "them out. Look at the request's last steps."),
        Turn.STAFF,
    ),
    "53003": _ours(
        _("A rule of ours blocks this sign-in"),
        _("A rule about where or how people sign in did not allow this. Try from your usual place of work first."),
        _("A Conditional Access policy of our tenant blocks the sign-in; the sign-in log names it."),
    ),
    "53000": _DEVICE,
    "53001": _DEVICE,
    "50072": _SECOND_FACTOR,
    "50074": _SECOND_FACTOR,
    "50076": _SECOND_FACTOR,
    "50079": _SECOND_FACTOR,
    "50078": _AGAIN,
    "70043": _AGAIN,
    "50173": _AGAIN,
    "53004": _ours(
        _("Microsoft does not let you set up a second check from here"),
        _("Microsoft saw something unusual and does not let you set up your phone now. Try from your usual work "
          "computer, in your organisation's network."),
        _("Registration of a second factor is blocked because of risk. Look at the sign-in log; a temporary access "
          "pass is for members only."),
    ),
    "53011": _partners(
        _("Your organisation marked this account as at risk"),
        _("Microsoft holds your account back because your own organisation sees a risk with it. Change your password "
          "there if you are asked to."),
        _("The home tenant reports risk for this account; only the home tenant can clear it."),
    ),
    "50057": _partners(
        _("This account is switched off"),
        _("The account is disabled, at your organisation or in our directory."),
        _("The account is disabled in the home tenant, or the guest in ours. We never switch an account on ourselves."),
        _("Ask your IT team whether your account works; the note below is for them. If it does, call us."),
    ),
    "500212": _partners(
        _("Your organisation's sign-in did not let you through"),
        _("Your organisation's settings do not allow its people to use our directory. This is set there, not here."),
        _("The partner's outbound cross-tenant access settings block B2B collaboration with our tenant."),
    ),
    "500213": _ours(
        _("Our directory does not accept your organisation yet"),
        _("Our settings do not allow people of your organisation in. Your account is fine."),
        _("Our inbound cross-tenant access settings block the partner's tenant: allow B2B collaboration with it."),
    ),
    "1000104": _partners(
        _("Your organisation is in another Microsoft cloud"),
        _("Your organisation and ours use separate Microsoft clouds that do not work together yet."),
        _("Both tenants have to enable each other's Microsoft cloud in their cross-tenant access settings."),
        _("Both sides have to set this up. Please send the note below to your IT team, and call us."),
    ),
    "65001": _CONSENT,
    "65004": _CONSENT,
    **dict.fromkeys(
        ["50011", "50194", "700016", "700027", "7000215", "501481"],
        _ours(
            _("Something is set wrongly on our side"),
            _("The portal and Microsoft do not agree about a setting. It is nothing you did, and trying again does "
              "not help."),
            _("A setting of the sign-in registration is wrong: redirect address (50011), authority (50194), "
              "application id (700016), secret or certificate (7000215, 700027), or the code's proof (501481)."),
        ),
    ),
    "50196": _guests(
        _("The sign-in went round in a circle"),
        _("Your browser asked Microsoft for the same sign-in too many times."),
        _("A sign-in loop: the same request too often. If everybody meets it, look at the web server's log."),
        _("Close the browser, wait five minutes, and sign in again. A private window helps as well."),
    ),
    "54005": _guests(
        _("This sign-in was used already"),
        _("The page was loaded twice, so Microsoft's answer had been used before. Nothing is wrong."),
        _("An authorisation code was redeemed twice: a reload of the return page."),
        _("Sign in again, and do not reload the page on the way."),
        page="sign-in",
    ),
}  # fmt: skip
