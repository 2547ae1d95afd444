"""Codes of the job in the directory and of the mail server: partners/entra/errors.py, provisioning, invitations."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from partners.failures.words import BY_HAND, STILL_SETTING_UP, WAIT_FOR_MAIL, Failure, Next, Text, Turn

OLD_ENTRY = _("There is an old entry for this address in our directory. We are clearing it up.")


def _parked(sponsor: Text, staff: Text, turn: Turn, text: Text, guest: Text = WAIT_FOR_MAIL) -> Failure:
    return Failure(STILL_SETTING_UP, guest, sponsor, staff, Next(turn, text))


PARKED = {
    "member_exists": _parked(
        _("This person already has an account with us. Our team will finish this by hand."),
        _("The address belongs to a member of our own directory, who is never invited as a guest."),
        Turn.STAFF,
        _("End this request."),
    ),
    "known_otherwise": _parked(
        BY_HAND,
        _("The directory holds this person under an account that the portal knows by another address."),
        Turn.STAFF,
        _("End this request and ask the sponsor to ask for that address."),
    ),
    "ambiguous": _parked(
        OLD_ENTRY,
        _("Several accounts in the directory have this address."),
        Turn.OPERATOR,
        _("Leave the address to one of them, then try again."),
    ),
    "address_conflict": _parked(
        OLD_ENTRY,
        _("A contact, group or other account owns this address."),
        Turn.OPERATOR,
        _("Remove the old entry, then try again."),
    ),
    "account_blocked": _parked(
        BY_HAND,
        _("The account is blocked from signing in. We never unblock an account ourselves."),
        Turn.OPERATOR,
        _("Find out who blocked it and why. Once it is unblocked, try again."),
    ),
    "invitations_disabled": _parked(
        BY_HAND,
        _("The tenant does not let applications invite guests."),
        Turn.OPERATOR,
        _("Change who may invite in the tenant's external collaboration settings, then try again."),
    ),
    "cross_tenant": _parked(
        BY_HAND,
        _("Cross-tenant access settings block this organisation."),
        Turn.OPERATOR,
        _("Allow B2B collaboration with its tenant, then try again."),
    ),
    "domain_blocked": _parked(
        BY_HAND,
        _("The domain is on the tenant's list of blocked domains, or missing on its list of allowed ones."),
        Turn.OPERATOR,
        _("Change the list, then try again."),
    ),
    "own_domain": _parked(
        BY_HAND,
        _("The address is in a domain of our own tenant, so its people cannot be guests."),
        Turn.STAFF,
        _("End this request."),
    ),
    "address_invalid": _parked(
        _("The directory does not accept this address. Please ask again with another one."),
        _("The directory does not accept this address."),
        Turn.STAFF,
        _("End this request and ask the sponsor for another address."),
    ),
    "address_changed": _parked(
        BY_HAND,
        _("The guest's account in the directory does not have this address."),
        Turn.OPERATOR,
        _("Add the address to the account in the directory, then try again."),
    ),
    "address_not_writable": _parked(
        BY_HAND,
        _("The job may not write addresses (User.ReadWrite.All), so a person has to add this one."),
        Turn.OPERATOR,
        _("Add the new address to the account in the directory (other emails), then try again."),
    ),
    "reset_refused": _parked(
        BY_HAND,
        _("The directory does not let the job set this account's redemption back; it may hold a directory role."),
        Turn.OPERATOR,
        _("Reset its redemption status by hand in the directory, then try again."),
    ),
    "not_permitted": _parked(
        BY_HAND,
        _("The job lacks a permission in Microsoft Graph."),
        Turn.OPERATOR,
        _("Run `entra check`: it says which. Grant it, then try again."),
    ),
    "not_there_yet": _parked(
        BY_HAND,
        _("The directory did not show the guest within the usual time, or the account was deleted meanwhile."),
        Turn.STAFF,
        _("Look whether the account exists. If it does, try again; if it was deleted, end this request."),
    ),
    "not_a_member_yet": _parked(
        BY_HAND,
        _("The guest does not show in the access group, or somebody took them out."),
        Turn.STAFF,
        _("Try again. If it comes back, ask the operator who changes the group."),
    ),
    "address_refused": _parked(
        _("The mail server says that this address does not exist. Please check it with your colleague."),
        _("The mail server refused the recipient for good."),
        Turn.SPONSOR,
        _("Check the address with your colleague. If it is wrong, change it on this page."),
    ),
    "mail_refused": _parked(
        BY_HAND,
        _("The mail server refused our mail for good."),
        Turn.OPERATOR,
        _("Ask whoever runs the mail server why, then try again."),
    ),
    "unknown_person": _parked(BY_HAND, _("The job lost track of the person in the directory."), Turn.STAFF,
                              _("Try again.")),
    "sync_state_gone": _parked(
        BY_HAND, _("The directory no longer knows how far we had read its changes."), Turn.NOBODY,
        _("Nothing: everybody is read anew by itself."),
    ),
    "suspicious_activity": _parked(
        BY_HAND, _("Microsoft has blocked our tenant from inviting because of suspicious activity. Only its support "
                   "lifts that."), Turn.OPERATOR,
        _("Open a case with Microsoft. All invitations wait until you close this; nobody has to be asked again."),
    ),
    "paced": _parked(
        BY_HAND, _("So many people are being set up that this one has waited for its turn for too long."), Turn.STAFF,
        _("Try again."),
    ),
    "daily_budget": _parked(
        BY_HAND, _("The invitations that we allow ourselves in a day were used up, day after day."), Turn.OPERATOR,
        _("Raise the daily budget in the settings if your tenant allows more, then try again."),
    ),
    "throttled": _parked(
        BY_HAND, _("The directory has been busy for a whole day."), Turn.STAFF, _("Try again.")
    ),
    "no_answer": _parked(
        BY_HAND, _("The directory has given no answer for a whole day."), Turn.OPERATOR,
        _("Look at Microsoft's service health, then try again."),
    ),
    "unanswered": _parked(
        BY_HAND, _("The directory has given no answer to an invitation for a whole day."), Turn.OPERATOR,
        _("Look at Microsoft's service health, then try again: nobody is invited twice."),
    ),
    "started": _parked(
        BY_HAND, _("A worker stopped half-way, again and again."), Turn.OPERATOR,
        _("Look at the worker's log for its end, then try again: nobody is invited twice."),
    ),
    "not_found_after_lost_answer": _parked(
        BY_HAND, _("An invitation got no answer, and the directory has not shown the person since."), Turn.STAFF,
        _("Try again: nobody is invited twice."),
    ),
    "unreachable": _parked(
        BY_HAND, _("The directory could not be reached for a whole day."), Turn.OPERATOR,
        _("Look at the way out of the network and at Microsoft's service health, then try again."),
    ),
    "token_refused": _parked(
        BY_HAND, _("The directory has refused our token for a whole day."), Turn.OPERATOR,
        _("Run `entra check`, then try again."),
    ),
    "credentials": _parked(
        BY_HAND, _("The directory does not accept the credentials of the Graph registration."), Turn.OPERATOR,
        _("Renew the secret, the certificate or the token file, run `entra check`, then close this or try again."),
    ),
    "mail_server_away": _parked(
        BY_HAND, _("The mail server could not be reached for a whole day."), Turn.OPERATOR,
        _("Check CLINICPORTAL_SMTP_URL and the mail server, then try again."),
    ),
}  # fmt: skip
"""Why a job stands still. Codes that mean "later" are here too: a job that waited too long parks with them."""

UNKNOWN = Failure(
    STILL_SETTING_UP,
    WAIT_FOR_MAIL,
    BY_HAND,
    _("The directory refused in a way that we do not know."),
    Next(Turn.OPERATOR, _("Look under “To look at” for the directory's answer, and tell us about it.")),
    known=False,
)

SLOW = _("The directory is slow")
WAITING: dict[str, Text] = {
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
    "paced": _("Many people are being set up"),
    "daily_budget": _("Today's invitations are used up"),
    "not_permitted": _("The directory does not let us do this yet. Our operator is told"),
    "invitations_disabled": _("The directory does not let us invite at the moment. Our operator is told"),
    "cross_tenant": _("The directory does not accept this organisation yet. Our operator is told"),
    "domain_blocked": _("The directory does not accept this organisation yet. Our operator is told"),
    "suspicious_activity": _("Microsoft holds back all invitations. Our operator is told"),
}
"""Why a step waits, as the beginning of a sentence."""


def _paused(guest: Text, sponsor: Text, staff: Text, turn: Turn, text: Text) -> Failure:
    return Failure(_("Your access is paused"), guest, sponsor, staff, Next(turn, text))


PAUSED = {
    "account_missing": _paused(
        _("Your account was removed from our directory. We are finding out why. "
          "The colleague who arranged your access can tell you more."),
        _("Access stopped because the account was removed in our directory. If that was a mistake, please call us."),
        _("The account was deleted in the directory. Within 30 days it can be restored there with the same id; later "
          "the person needs a new request."),
        Turn.OPERATOR,
        _("Restore it in the directory if that was a mistake, then confirm here. Otherwise end the access."),
    ),
    "account_disabled": _paused(
        _("Your account was switched off in our directory. We are finding out why. "
          "The colleague who arranged your access can tell you more."),
        _("Access stopped because the account was switched off in our directory. If that was a mistake, please call "
          "us."),
        _("The account was disabled in the directory. We never switch an account on again ourselves."),
        Turn.OPERATOR,
        _("Find out who disabled it and why. Once it is enabled again, confirm here. Otherwise end the access."),
    ),
    "redemption_reset": _paused(
        _("We have to make sure once more that you are the person we invited. "
          "The colleague who arranged your access can tell you more."),
        _("We have to make sure once more who uses this account, so access is paused until they have signed in again."),
        _("Somebody set this account's redemption back in the directory, so another person may be behind it now."),
        Turn.STAFF,
        _("Ask who did it and why. Access goes on once the expected person has signed in again."),
    ),
    "identity": _paused(
        _("You asked us, or we asked you, to sign in anew. Use the newest link in your mail."),
        _("Access is paused until your colleague has signed in with the newest link."),
        _("The person has to sign in anew: the sessions are ended, and nothing is shown until then."),
        Turn.GUEST,
        _("Sign in with the newest link in the mail."),
    ),
}  # fmt: skip
"""Why the access of a person is paused: the note of a records.Suspension."""

OPERATOR: dict[str, Next] = {
    "feed_late": Next(
        Turn.OPERATOR,
        _("This feed has brought nothing new for longer than it should. Readers see how old its records are. See under "
          "Feeds what its last import did, and ask the source. This closes by itself when data are back."),
    ),
    "context_not_bound": Next(
        Turn.OPERATOR,
        _("No policy in our tenant asks everybody for a second factor in this authentication context, so the portal "
          "lets nobody pass. Mend the Conditional Access policy; the portal notices within a minute."),
    ),
    "context_unknown": Next(
        Turn.OPERATOR,
        _("The portal cannot read whether a policy is bound to this authentication context, so it lets nobody pass. "
          "Grant Policy.Read.All to the Graph registration, or attest it: `manage.py entra attest`."),
    ),
    "attestation_ends": Next(
        Turn.OPERATOR,
        _("The attestation for this authentication context runs out on that day. Attest it again on the page “Sign-in "
          "safety”, or nobody can pass from then on."),
    ),
    "directory_away": Next(
        Turn.OPERATOR,
        _("Microsoft Graph has not answered several times in a row, so all calls wait and one tries now and then. Look "
          "at the way out of the network and at Microsoft's service health."),
    ),
    "sponsor_unknown": Next(
        Turn.OPERATOR,
        _("The directory does not know the colleague who answers for this partner, so guests are invited without a "
          "sponsor there. Choose another internal sponsor for the organisation."),
    ),
    "sign_in_unknown": Next(
        Turn.OPERATOR,
        _("Somebody met a sign-in error that the portal has no words for. Look it up at Microsoft, and tell us about "
          "it."),
    ),
    "job_unknown": Next(
        Turn.OPERATOR,
        _("A job stopped with a code that the portal has no words for. Look into the worker's log, and tell us about "
          "it."),
    ),
    "mass_change": Next(
        Turn.OPERATOR,
        _("Many guests are gone or disabled in the directory at once, so nobody was paused yet. If that is right, "
          "close this: then they are. If it is a mistake, have it mended first."),
    ),
    "delta_refused": Next(
        Turn.OPERATOR,
        _("The directory refuses to tell us what changed (users/delta). We read our guests one by one instead, which "
          "is slower. Check User.Read.All."),
    ),
    "key_missing": Next(
        Turn.OPERATOR,
        _("A redemption link was encrypted with a key that is no longer in CLINICPORTAL_ENCRYPTION_KEYS. Put the key "
          "back and run `rotate_keys`, or send that link again."),
    ),
    "notice_refused": Next(
        Turn.OPERATOR,
        _("The mail server refused a mail to a sponsor for good. Check the sponsor's address in the register."),
    ),
}  # fmt: skip
"""What only the operator hears of."""
