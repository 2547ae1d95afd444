"""The SMTP sink and the mailbox: what the portal or Entra sent can be read."""

from __future__ import annotations

import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage

import pytest
import requests

from .conftest import Person, until

NURSE = "nurse@northfield.example"


def message(to=NURSE, subject="Your access", text="Go to http://portal.localhost:8000/welcome/abc/.\n", html=None):
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "portal@hospital.example", to, subject
    made["Message-ID"] = f"<{subject.encode().hex()}@portal>"
    made.set_content(text)
    if html:
        made.add_alternative(html, subtype="html")
    return made


def send(tenant, mail):
    with smtplib.SMTP("127.0.0.1", tenant.port + 2, timeout=5) as smtp:
        smtp.send_message(mail)


def test_a_mail_can_be_read_newest_first(tenant):
    send(tenant, message(subject="First"))
    send(tenant, message(subject="Second é", html="<p>Hello</p>"))
    second, first = tenant.read("mails")
    assert (first["subject"], second["subject"]) == ("First", "Second é")
    assert first["to"] == [NURSE]
    assert first["message_id"] == f"<{b'First'.hex()}@portal>"
    assert first["links"] == ["http://portal.localhost:8000/welcome/abc/"]
    assert second["html"].strip() == "<p>Hello</p>"
    page = Person(tenant).open(f"http://login.localhost:{tenant.port}/mailbox/").page.text
    assert page.index("Second é") < page.index("First")


def test_mails_can_be_narrowed_to_a_recipient(tenant):
    send(tenant, message())
    send(tenant, message(to="sponsor@northfield.example", subject="Decided"))
    assert [m["subject"] for m in tenant.read("mails", to="Sponsor@northfield.example")] == ["Decided"]
    page = requests.get(f"{tenant.base}/mailbox/?to={NURSE}", timeout=5).text
    assert "Your access" in page
    assert "Decided" not in page


def test_links_in_text_are_clickable_and_the_rest_is_escaped(tenant):
    send(tenant, message(text='<b>x</b> http://portal.localhost:8000/a?b=1&c="2"\n', subject="<i>Hi</i>"))
    page = requests.get(f"{tenant.base}/mailbox/{tenant.read('mails')[0]['id']}", timeout=5).text
    assert '<a href="http://portal.localhost:8000/a?b=1&amp;c=">' in page
    assert "&lt;b&gt;x" in page
    assert "<i>Hi" not in page


def test_the_html_part_is_sandboxed(tenant):
    send(tenant, message(html="<script>alert(1)</script><a href='http://portal.localhost:8000/'>go</a>"))
    mail = tenant.read("mails")[0]["id"]
    page = requests.get(f"{tenant.base}/mailbox/{mail}", timeout=5).text
    assert "<script>" not in page
    assert f'<iframe src="/mailbox/{mail}/html"' in page
    part = requests.get(f"{tenant.base}/mailbox/{mail}/html", timeout=5)
    assert part.headers["Content-Security-Policy"].startswith("sandbox ")
    assert "allow-scripts" not in part.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all",
        b"Subject: x\r\nContent-Type: text/plain; charset=none\r\n\r\n\xff\xfe",
        b"Message-ID: <<i>@x>\r\nTo: =?\r\nSubject: =?utf-8?q?=ff?=\r\n\r\nBody",  # Python's own parser trips over it
    ],
)
def test_a_malformed_mail_breaks_nothing(tenant, raw):
    with smtplib.SMTP("127.0.0.1", tenant.port + 2, timeout=5) as smtp:
        smtp.sendmail("a@b.example", [NURSE], raw)
    mail = tenant.read("mails")[0]
    assert requests.get(f"{tenant.base}/mailbox/{mail['id']}", timeout=5).status_code == 200
    assert requests.get(f"{tenant.base}/mailbox/", timeout=5).status_code == 200


def test_entra_sends_its_own_mail_when_asked_and_drops_the_custom_message(tenant, browser):
    tenant.invite(NURSE, sendInvitationMessage=True, invitedUserMessageInfo={"customizedMessageBody": "Dear nurse"})
    (mail,) = tenant.read("mails", to=NURSE)
    assert "invites@microsoft.com" in mail["from"]
    assert "Dear nurse" not in mail["text"]
    assert browser.open(mail["links"][0]).heading == "Pick an account"


def test_no_mail_is_sent_unless_asked(tenant):
    tenant.invite(NURSE)
    assert tenant.read("mails") == []


def test_a_refused_mail_is_not_kept(tenant):
    tenant.do("fail-next", operation="SMTP DATA", status=451, message="Try later")
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(tenant, message())
    assert refused.value.smtp_code == 451
    assert tenant.read("mails") == []


def test_a_cut_mail_is_kept_although_its_sender_never_hears(tenant):
    tenant.do("fail-next", operation="SMTP DATA", mode="cut")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(tenant, message())
    assert len(tenant.read("mails")) == 1


@pytest.mark.parametrize(("mode", "kept"), [("delay", 0), ("hold", 1)])
def test_a_mail_is_kept_after_a_delay_and_before_its_answer_is_held(tenant, mode, kept):
    tenant.do("fail-next", operation="SMTP DATA", mode=mode, seconds=1.0)
    with ThreadPoolExecutor(1) as elsewhere:
        sent = elsewhere.submit(send, tenant, message())
        assert until(lambda: tenant.read()["faults"] == [])
        time.sleep(0.2)
        assert len(tenant.read("mails")) == kept
        sent.result()
    assert len(tenant.read("mails")) == 1


def test_an_unknown_mail_is_a_page(tenant):
    assert requests.get(f"{tenant.base}/mailbox/nothing", timeout=5).status_code == 404
