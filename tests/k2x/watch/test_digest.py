"""People are told at once, and then at most once a minute for each organisation and class."""

from __future__ import annotations

import json
import smtplib
from email.message import EmailMessage
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from k2x.watch.channels import Mail, NotTold, Webhook
from k2x.watch.digest import Digest, Message, Notice
from k2x.watch.lanes import Pauses, TellingMetrics


def letters(count: int, org: str = "uk", kind: str = "mapping") -> list[Notice]:
    return [Notice(org, kind, f"order {n}", "Add the account, then redrive.") for n in range(count)]


def test_a_thousand_letters_are_one_message_at_once_and_one_after_a_minute() -> None:
    digest = Digest(60)
    digest.add(letters(1))
    [first] = digest.due(now=0)
    digest.sent(first, 0)
    digest.add(letters(1000))
    assert digest.due(now=59) == []
    [second] = digest.due(now=60)
    assert (first.count, second.count, len(second.shown)) == (1, 1000, 5)
    digest.sent(second, 60)
    assert digest.empty


def test_organisations_and_classes_do_not_wait_for_each_other() -> None:
    digest = Digest(60)
    digest.add([*letters(2, "uk"), *letters(3, "au"), *letters(1, "uk", "auth")])
    assert {(m.org, m.kind): m.count for m in digest.due(0)} == {
        ("uk", "mapping"): 2, ("au", "mapping"): 3, ("uk", "auth"): 1,
    }  # fmt: skip


def test_what_did_not_go_stays_and_is_tried_again_a_minute_later() -> None:
    digest = Digest(60)
    digest.add(letters(2))
    digest.failed(digest.due(0)[0], 0)
    digest.add(letters(1))
    assert digest.due(30) == []
    assert [message.count for message in digest.due(60)] == [3]


def test_the_message_says_how_many_what_and_what_to_do() -> None:
    digest = Digest()
    digest.add(letters(7))
    text = digest.due(0)[0].text.splitlines()
    assert text[0] == "uk: 7 dead letters (mapping)"
    assert text[1] == "- order 0"
    assert text[-3:] == [
        "- and 2 more",
        "What to do: Add the account, then redrive.",
        "All of them: k2x dlt ls --org uk --class mapping",
    ]


def message() -> Message:
    return Message("uk", "mapping", 1, (Notice("uk", "mapping", "order 7: no account", "Add it."),))


def test_a_webhook_gets_text_for_people_and_fields_for_programs() -> None:
    heard: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(json.loads(request.content))
        return httpx.Response(200)

    Webhook(SecretStr("https://chat.example/secret"), httpx.MockTransport(answer)).tell(message())
    [body] = heard
    assert body["text"].startswith("uk: 1 dead letter (mapping)\n- order 7: no account")
    assert (body["org"], body["class"], body["count"]) == ("uk", "mapping", 1)


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_webhook_that_does_not_take_it_is_an_error_that_does_not_tell_the_address(status: int) -> None:
    hook = Webhook(SecretStr("https://chat.example/secret"), httpx.MockTransport(lambda _: httpx.Response(status)))
    with pytest.raises(NotTold, match=str(status)) as error:
        hook.tell(message())
    assert "secret" not in str(error.value)
    assert "secret" not in repr(hook)


def test_mail_is_sent_under_tls_with_the_account_given(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    class Server:
        def __init__(self, host: str, port: int, timeout: float) -> None:
            said.append((host, port))

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *_: object) -> None:
            said.append("closed")

        def starttls(self) -> None:
            said.append("tls")

        def login(self, user: str, password: str) -> None:
            said.append((user, password))

        def send_message(self, mail: EmailMessage) -> None:
            said.append((mail["Subject"], mail["To"]))

    monkeypatch.setattr(smtplib, "SMTP", Server)
    Mail("mail.example", 587, "starttls", "k2x", SecretStr("pw"), "k2x@shop.example", ("a@x", "b@x")).tell(message())
    assert said == [("mail.example", 587), "tls", ("k2x", "pw"), ("uk: 1 dead letter (mapping)", "a@x, b@x"), "closed"]


def test_a_mail_server_that_is_away_is_one_sentence() -> None:
    with pytest.raises(NotTold, match=r"watch\.notify\.email"):
        Mail("127.0.0.1", 9, "none", None, None, "a@x", ("b@x",)).tell(message())


def test_a_lane_that_knocks_once_a_minute_is_one_pause_and_a_later_one_is_another() -> None:
    pauses = Pauses()

    def told(reason: str, now: float) -> bool:
        return pauses.paused("uk", reason, 50.0, now) is not None

    assert told("xero", 0)
    assert not any(told("xero" if now % 60 > 5 else "", now) for now in range(1, 600))
    assert told("xero", 1000)
    assert told("day", 1001)


def test_a_lane_that_lost_its_ledger_is_told_at_once_and_a_running_one_is_no_news() -> None:
    pauses = Pauses()
    assert pauses.state("uk", "running", 0) is None
    notice = pauses.state("uk", "ledger_lost", 1)
    assert notice is not None
    assert "k2x ledger rebuild" in notice.then
    assert pauses.state("uk", "ledger_lost", 2) is None
    assert pauses.state("au", "ledger_lost", 2) is not None


def test_the_sink_s_metrics_tell_once_and_again_what_was_not_taken() -> None:
    now, heard, deaf = 0.0, [], [True]

    class Ear:
        name = "ear"

        def tell(self, message: Message) -> None:
            if deaf[0]:
                raise NotTold("deaf")
            heard.append(message.subject)

    registry = CollectorRegistry()
    metrics = TellingMetrics([Ear()], 60.0, registry, clock=lambda: now)
    metrics.state("uk", "failed")
    metrics.paused("uk", "day", 3600)
    metrics.tell()
    assert registry.get_sample_value("k2x_sink_lane_state", {"org": "uk", "state": "failed"}) == 1
    assert registry.get_sample_value("k2x_sink_not_told_total", {"channel": "ear"}) == 2
    deaf[0] = False
    metrics.tell()
    assert heard == []  # a minute has not passed
    now = 60.0
    metrics.tell()
    metrics.tell()
    assert heard == ["uk: nothing is posted (failed)", "uk waits (day)"]
