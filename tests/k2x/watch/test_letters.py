"""The watcher on a real Kafka: letters as they stand, and people told at least once, over restarts and failures."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from k2x.kafka_topics import apply
from k2x.watch.channels import NotTold
from k2x.watch.digest import Message
from k2x.watch.lag import Watched
from k2x.watch.letters import Letters
from k2x.watch.process import Watcher
from k2x.watch.settings import WatchSettings
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.ids import CommittedIds
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from tests.connectors.xero import commands as sink_commands

pytestmark = pytest.mark.kafka
CODEC = Codec(CommittedIds())


@dataclass
class Shop:
    """An organisation of its own on the shared broker: other tests' letters are other organisations'."""

    kafka: dict[str, Any]
    org: str
    orders: list[int] = field(default_factory=list)

    def letter(self, number: int, code: str = "account_unknown") -> None:
        """The sink's dead letter of an order."""
        command = {**sink_commands.sale(number), "org": self.org}
        reason = Reason(ErrorClass.MAPPING, code, "No account 999.", "Add it.", org=self.org, store="emea/GoatUK")
        origin = Origin(topics.commands(self.org), 0, 0, f"sink-{self.org}", "post")
        headers = letter_headers(origin, reason, datetime.now(UTC))
        topic = topics.dead_letter(topics.commands(self.org))
        self.write(Record(topic, command["key"].encode(), CODEC.encode("command", command), headers))

    def result(self, number: int, outcome: str, message: str | None = None) -> None:
        command = sink_commands.sale(number)
        blank = dict.fromkeys(
            ("xero_id", "number", "status", "total", "total_tax", "amount_due", "currency", "error_class", "error_code",
             "hint", "command_id", "traceparent", "replay_id")
        )  # fmt: skip
        value = blank | {
            "org": self.org, "instance": "emea", "store": "emea/GoatUK", "order_id": str(number), "kind": "order",
            "ordinal": 0, "key": command["key"], "outcome": outcome, "version": command["version"], "findings": [],
            "message": message, "received_at": command["received_at"],
            "at": datetime.now(UTC) + timedelta(seconds=1),
        }  # fmt: skip
        self.write(Record(topics.RESULTS, command["key"].encode(), CODEC.encode("result", value)))

    def write(self, *records: Record) -> None:
        deliverer = Deliverer(self.kafka)
        deliverer.deliver_now(records)
        deliverer.close()

    def letters(self, **options: Any) -> Letters:
        return Letters(self.kafka, CODEC, [self.org], group=f"watch-{self.org}", **options)


@pytest.fixture
def shop(kafka: str) -> Shop:
    org = f"w-{uuid.uuid4().hex[:8]}"
    conf = {"bootstrap.servers": kafka, "log_level": 0}
    apply(conf, [org], 1, 1)
    return Shop(conf, org)


class Ear:
    """A channel that can be deaf."""

    name = "ear"

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.deaf = False

    def tell(self, message: Message) -> None:
        if self.deaf:
            raise NotTold("deaf")
        self.heard.append(message)


def number() -> int:
    """Of an order that no other test has: keys on the results topic are shared."""
    return uuid.uuid4().int % 10**9 + 10**9


def test_a_letter_is_open_until_its_order_is_posted(shop: Shop) -> None:
    letters, order = shop.letters(notify=False), number()
    shop.letter(order)
    before = [letter.state.value for letter in letters.look().letters if letter.org == shop.org]
    shop.result(order, "POSTED")
    after = [letter.state.value for letter in letters.look().letters if letter.org == shop.org]
    assert (before, after) == (["open"], ["resolved"])


def test_waits_of_before_the_first_look_are_not_told_and_pauses_after_it_are(shop: Shop) -> None:
    letters, order = shop.letters(notify=True), number()
    shop.result(order, "WAITING", "Xero does not let us in: invalid_client")
    assert [n for n in letters.look().notices if n.org == shop.org] == []
    shop.result(order, "WAITING", "Xero does not let us in: invalid_client")
    shop.result(order, "WAITING", "waits behind an earlier version of its order")  # its own, and soon over
    shop.result(order, "WAITING", "collected into summary UK-S20261124-GBP, which closes at 2026-11-25T03:00:00+00:00")
    assert [n.kind for n in letters.look().notices if n.org == shop.org] == ["waiting:auth"]


def test_what_was_told_is_not_told_again_after_a_restart_and_what_was_not_is(shop: Shop) -> None:
    ear = Ear()

    def watcher() -> Watcher:
        settings = WatchSettings((shop.org,), (Watched("nobody"),), notify_every_s=60, channels=(ear,))
        made = Watcher(settings, shop.kafka, CODEC, CollectorRegistry())
        made._letters = shop.letters(notify=True)
        return made

    def told() -> list[tuple[str, int]]:
        return [(message.kind, message.count) for message in ear.heard if message.org == shop.org]

    first = watcher()
    shop.letter(number())
    first.look()
    assert told() == [("mapping", 1)]

    second = watcher()
    shop.letter(number())
    ear.deaf = True
    second.look()
    assert told() == [("mapping", 1)]

    ear.deaf = False
    third = watcher()  # the second ended with something untold
    third.look()
    assert told() == [("mapping", 1), ("mapping", 1)]
    third.look()
    assert told() == [("mapping", 1), ("mapping", 1)]
