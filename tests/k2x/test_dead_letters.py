"""`k2x dlt` and `k2x trace` as an operator uses them, on a real Kafka with records as k2x writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from k2x import kafka_topics
from k2x.audit.log import read_to_end
from k2x.cli import main
from k2x.dead_letters import MOST_REPLAYS, Letter, carry_out, gather, plan
from k2x.dead_letters.errors import RedriveInterrupted
from k2x.embedded import EmbeddedKafka
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.errors import NotDelivered
from schemas.ids import CommittedIds
from schemas.letters import ErrorClass, Headers, Origin, Reason, letter_headers
from tests.connectors.xero import commands as sink_commands
from tests.streams import samples

pytestmark = pytest.mark.kafka
ORG, STORE = "uk", "emea/GoatUK"
ORDERS_DLT = topics.dead_letter(topics.ORDERS)
SALES = topics.commands(ORG)
CONFIG = """\
kafka: {{bootstrap: "{bootstrap}"}}
organisations:
  uk: {{client_id: "0", client_secret_env: NONE, rules: uk.yaml}}
  au: {{client_id: "0", client_secret_env: NONE, rules: au.yaml}}
instances:
  emea: {{time_zone: Europe/London}}
  shop: {{time_zone: Europe/London}}
stores:
  emea/GoatUK: {{organisation: uk}}
  shop/web: {{organisation: uk}}
"""


@dataclass
class Office:
    """A deployment's Kafka, and an operator at its command line."""

    bootstrap: str
    config: Path
    codec: Codec = field(default_factory=lambda: Codec(CommittedIds()))
    last_order: int = 1000

    @property
    def kafka(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.bootstrap}

    def number(self) -> int:
        """An OrderID that no other test uses."""
        self.last_order += 1
        return self.last_order

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--config", str(self.config)])

    def ls(self, *arguments: str) -> list[dict[str, Any]]:
        result = self.run("dlt", "ls", "--json", *arguments)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    def write(self, *records: Record) -> None:
        deliverer = Deliverer(self.kafka)
        deliverer.deliver_now(records)
        deliverer.close()

    def read(self, topic: str, key: bytes) -> list[Any]:
        return [m for m in read_to_end(self.kafka, [topic]) if m.key() == key]

    def order_letter(self, number: int, *, later: int = 0, previous: Headers | None = None, **reason: Any) -> Record:
        """A refused order, as streams writes it. `later`: seconds that its version is newer."""
        order = samples.order(number)
        order["version"] += timedelta(seconds=later)
        origin = Origin(topics.ORDERS, 1, 17, "streams", "Accounts are usable")
        key = f"emea|{number}"
        return self._letter(origin, key, self.codec.encode("order", order), key, previous, **reason)

    def sale_letter(self, number: int, *, version: int = 0, **reason: Any) -> Record:
        """A sale that the sink gave up."""
        command = sink_commands.sale(number, version=version)
        value = self.codec.encode("command", named(command))
        return self._letter(Origin(SALES, 0, 4, "sink-uk", "post"), command["key"], value, command["key"], **reason)

    def result(self, key: str, outcome: str, version: datetime, **fields: Any) -> Record:
        instance, _, number = key.partition("|")
        value = {
            **dict.fromkeys(("xero_id", "number", "status", "total", "total_tax", "amount_due", "currency")),
            **dict.fromkeys(("error_class", "error_code", "message", "hint", "received_at", "command_id")),
            "org": ORG,
            "instance": instance,
            "store": STORE,
            "order_id": number,
            "kind": "order",
            "ordinal": 0,
            "key": key,
            "outcome": outcome,
            "version": version,
            "findings": [],
            "at": datetime.now(UTC),
            "traceparent": None,
            **fields,
        }
        return Record(topics.RESULTS, key.encode(), self.codec.encode("result", value))

    def _letter(
        self,
        origin: Origin,
        key: str,
        value: bytes,
        natural: str,
        previous: Headers | None = None,
        *,
        error_class: ErrorClass = ErrorClass.MAPPING,
        code: str = "account_unknown",
        org: str = ORG,
    ) -> Record:
        reason = Reason(error_class, code, f"order {key}: account 999 does not exist", "Change the rules.", org, STORE)
        headers = letter_headers(origin, reason, datetime.now(UTC), previous=previous or [("mine", b"\x00\xff")])
        return Record(topics.dead_letter(origin.topic), key.encode(), value, headers)


def named(command: Any) -> dict[str, Any]:
    """With the body's branch of the union named, as streams writes it."""
    return {**command, "body": ("k2x.xero.Sale", command["body"])}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    directory = tmp_path_factory.mktemp("office")
    with EmbeddedKafka(directory / "kafka", ready_timeout=180.0) as broker:
        config = directory / "k2x.yaml"
        config.write_text(CONFIG.format(bootstrap=broker.bootstrap), "utf-8")
        kafka_topics.apply({"bootstrap.servers": broker.bootstrap}, ["uk", "au"], 2, 1)
        yield Office(broker.bootstrap, config)


def test_ls_says_where_why_and_whose(office: Office) -> None:
    number = office.number()
    office.write(office.order_letter(number))
    result = office.run("dlt", "ls", "--order", f"emea|{number}")
    line, summary = result.output.splitlines()
    assert line.split()[0].startswith(f"{ORDERS_DLT}:")
    for word in ("mapping/account_unknown", ORG, STORE, f"emea|{number}", "account 999 does not exist"):
        assert word in line
    assert summary.startswith("1 open (1 mapping).")


def test_filters_each_choose_and_together_narrow(office: Office) -> None:
    one, other = office.number(), office.number()
    office.write(
        office.order_letter(one),
        office.order_letter(other, error_class=ErrorClass.VALIDATION, code="unbalanced", org="au"),
    )
    mine = {f"emea|{one}", f"emea|{other}"}

    def chosen(*arguments: str) -> set[str]:
        return {letter["order"] for letter in office.ls(*arguments)} & mine

    assert chosen() == mine
    assert chosen("--org", "au") == {f"emea|{other}"}
    assert chosen("--class", "mapping") == {f"emea|{one}"}
    assert chosen("--code", "unbalanced") == {f"emea|{other}"}
    assert chosen("--code", "unbalanced", "--org", "uk") == set()
    assert chosen("--store", STORE) == mine
    assert chosen("--store", "emea/Other") == set()
    assert chosen("--since", "1h") == mine
    assert chosen("--since", "1h", "--until", "30min") == set()
    assert chosen("--until", "2020-01-01") == set()
    for asked in (f"emea/{one}", f"{STORE}/{one}", str(one)):
        assert chosen("--order", asked) == {f"emea|{one}"}
    assert office.run("dlt", "ls", "--since", "yesterday").exit_code == 2


@pytest.mark.parametrize(
    ("outcome", "newer_s", "fields", "state"),
    [
        ("POSTED", 0, {"number": "UK-1"}, "resolved"),
        ("POSTED", 60, {"number": "UK-1"}, "resolved"),
        ("POSTED", -60, {"number": "UK-1"}, "open"),  # an older version: this one still is not in the books
        ("UNCHANGED", 0, {"xero_id": "i-1"}, "resolved"),
        ("UNCHANGED", 0, {}, "open"),  # superseded before its turn: it says nothing of Xero
        ("SUPPRESSED", 60, {}, "resolved"),
        ("CANCELLED", 60, {}, "resolved"),
        ("REFUSED", 0, {}, "open"),
        ("POSTED", 0, {"kind": "invoice"}, "open"),
    ],
)
def test_a_letter_is_resolved_by_the_end_of_its_version_or_a_newer_one(
    office: Office, outcome: str, newer_s: int, fields: dict[str, Any], state: str
) -> None:
    number = office.number()
    office.write(office.order_letter(number))
    version = samples.order(number)["version"] + timedelta(seconds=newer_s)
    office.write(office.result(f"emea|{number}", outcome, version, **fields))
    (letter,) = office.ls("--all", "--order", f"emea|{number}")
    assert letter["state"] == state
    assert len(office.ls("--order", f"emea|{number}")) == (state == "open")


def test_a_version_that_was_posted_and_then_held_is_open(office: Office) -> None:
    """The same version with other content is held after it was posted: the earlier result says nothing of it."""
    number = office.number()
    version = samples.order(number)["version"]
    office.write(office.result(f"emea|{number}", "POSTED", version, at=datetime.now(UTC) - timedelta(minutes=1)))
    office.write(office.order_letter(number, error_class=ErrorClass.HELD, code="other_money"))
    (letter,) = office.ls("--order", f"emea|{number}")
    assert letter["class"] == "held"


def test_of_an_orders_letters_only_the_newest_version_is_open(office: Office) -> None:
    number = office.number()
    office.write(office.order_letter(number, later=60))
    office.write(office.order_letter(number))
    old, new = sorted(office.ls("--all", "--order", f"emea|{number}"), key=lambda letter: letter["version"])
    assert (old["state"], new["state"]) == ("superseded", "open")
    result = office.run("dlt", "redrive", old["letter"], "--yes")
    assert result.exit_code == 1
    assert new["letter"] in result.output


def test_show_tells_the_order_the_reason_and_the_remedy_and_masks_the_customer(office: Office) -> None:
    number = office.number()
    office.write(office.order_letter(number))
    result = office.run("dlt", "show", f"emea|{number}")
    for text in (
        f"Order {number} of {STORE}",
        "2 ×  Coffee plunger 2  [SKU-2]  at 8.90   17.80  Standard 20 %",
        "total       58.70 GBP",
        "tax         9.78 (Standard 9.78)",
        "tenders     58.70 Card",
        "mapping/account_unknown",
        "remedy      Change the rules.",
        f"came from   {topics.ORDERS}:1:17, given up by streams at Accounts are usable",
        "(A. B., a…@example.com), GB",
        "x-first-failed-at",
    ):
        assert text in result.output
    assert "Ada" not in result.output
    assert "Long Lane" not in result.output
    (found,) = [json.loads(line) for line in office.run("dlt", "show", f"emea|{number}", "--json").stdout.splitlines()]
    assert found["record"]["total"] == ["58.70 GBP"]
    assert found["headers"]["__connect.errors.offset"] == "17"


def test_show_of_a_command_and_of_what_cannot_be_read(office: Office) -> None:
    number = office.number()
    broken = Record(ORDERS_DLT, f"emea|{number}".encode(), b"\x07garbage", [("x-error-class", b"bug")])
    office.write(office.sale_letter(number), broken)
    sale = office.run("dlt", "show", f"shop|{number}").output
    assert "1 ×  Boots  at 120.00  account 200  OUTPUT2" in sale
    assert "120.00 to account 092 on 2026-11-20" in sale
    unreadable = office.run("dlt", "show", f"emea|{number}").output
    assert "cannot be read" in unreadable
    assert "07 67 61 72" in unreadable
    assert office.run("dlt", "show", f"{ORDERS_DLT}:0:999999").exit_code == 1


def summary_command(number: int) -> dict[str, Any]:
    """A day's own command, closed with two orders; `number`: the day's."""
    day = f"2026-11-{number:02}"
    name = f"S{day.replace('-', '')}-GBP"
    lines = [{"account": "200", "tax_type": "OUTPUT2", "tracking": "", "net": "100.00", "tax": "20.00"}]
    part = {
        "number": f"W-{name}", "day": day, "closes_at": datetime(2026, 11, number, 3, tzinfo=UTC), "rate": None,
        "base_total": None, "lines": lines, "orders": 2,
    }  # fmt: skip
    command: Any = sink_commands.sale(0, number=f"W-{name}", summary=part)
    return named({**command, "key": f"shop|web/{name}", "order_id": f"web/{name}", "command_id": f"shop|web/{name}@0"})


def test_a_summarys_letter_tells_the_day_and_is_resolved_by_the_end_of_the_summary(office: Office) -> None:
    command = summary_command(9)
    key = command["key"]
    origin = Origin(SALES, 0, 5, "sink-uk", "post")
    office.write(office._letter(origin, key, office.codec.encode("command", command), key))
    shown = office.run("dlt", "show", key).output
    assert "Summary W-S20261109-GBP of 2 orders of shop/web on 2026-11-09, for Xero organisation uk" in shown
    (letter,) = [row for row in office.ls() if row["order"] == key]
    later = command["version"] + timedelta(seconds=1)
    office.write(office.result(key, "POSTED", later, kind="invoice"))
    assert [row["state"] for row in office.ls() if row["letter"] == letter["letter"]] == ["open"]
    office.write(office.result(key, "POSTED", later, kind="summary", number="W-S20261109-GBP"))
    (row,) = [row for row in office.ls("--all") if row["letter"] == letter["letter"]]
    assert (row["state"], row["state_reason"].startswith("posted as W-S20261109-GBP")) == ("resolved", True)


def test_redrive_sends_the_same_bytes_to_the_origin_and_counts(office: Office) -> None:
    number = office.number()
    key = f"emea|{number}".encode()
    sent = office.order_letter(number)
    office.write(sent)
    result = office.run("dlt", "redrive", "--order", f"emea|{number}", "--yes", "--by", "ann")
    assert result.exit_code == 0, result.output
    assert "1 letter sent again." in result.output
    (message,) = office.read(topics.ORDERS, key)
    assert message.value() == sent.value
    before, after = dict(sent.headers), dict(message.headers())
    assert after == {**before, "x-replay-count": b"1"}
    assert after["mine"] == b"\x00\xff"

    assert office.ls("--order", f"emea|{number}") == []
    (letter,) = office.ls("--all", "--order", f"emea|{number}")
    assert (letter["state"], letter["sent_again"]) == ("sent again", 1)
    assert "by ann" in letter["state_reason"]
    assert "No open letter" in office.run("dlt", "redrive", "--order", f"emea|{number}", "--yes").output
    assert len(office.read(topics.ORDERS, key)) == 1


def test_a_commands_letter_goes_back_to_the_command_topic(office: Office) -> None:
    number = office.number()
    sent = office.sale_letter(number)
    office.write(sent)
    assert office.run("dlt", "redrive", f"shop|{number}", "--yes").exit_code == 0
    (message,) = office.read(SALES, f"shop|{number}".encode())
    assert message.value() == sent.value


@pytest.mark.parametrize(
    "origin",
    [topics.PARKED, topics.REPLAY_OF[topics.ORDERS], "kentico.orders.v0"],
    ids=["parked", "replayed", "a topic that is gone"],
)
def test_letters_of_parked_and_replayed_records_go_to_their_source(office: Office, origin: str) -> None:
    number = office.number()
    letter = office.order_letter(number)
    headers = [(n, origin.encode() if n == "__connect.errors.topic" else v) for n, v in letter.headers]
    office.write(Record(letter.topic, letter.key, letter.value, headers))
    assert office.run("dlt", "redrive", f"emea|{number}", "--yes").exit_code == 0
    assert len(office.read(topics.ORDERS, f"emea|{number}".encode())) == 1


def test_a_dry_run_and_a_no_send_nothing(office: Office) -> None:
    number = office.number()
    office.write(office.order_letter(number))
    dry = office.run("dlt", "redrive", f"emea|{number}", "--dry-run")
    assert dry.exit_code == 0
    assert f"→ {topics.ORDERS}" in dry.output
    assert "1 letter of 1 would go" in dry.output
    assert office.run("dlt", "redrive", f"emea|{number}").exit_code == 1  # asked, and nobody there to say yes
    assert office.read(topics.ORDERS, f"emea|{number}".encode()) == []
    assert len(office.ls("--order", f"emea|{number}")) == 1


def test_what_failed_again_five_times_is_quarantined(office: Office) -> None:
    number = office.number()
    key = f"emea|{number}".encode()
    office.write(office.order_letter(number))
    for count in range(1, MOST_REPLAYS + 1):
        assert office.run("dlt", "redrive", f"emea|{number}", "--yes").exit_code == 0
        message = office.read(topics.ORDERS, key)[-1]
        assert dict(message.headers())["x-replay-count"] == str(count).encode()
        office.write(office.order_letter(number, previous=message.headers()))  # streams refuses it again
    (letter,) = office.ls("--order", f"emea|{number}")
    assert letter["quarantined"]
    result = office.run("dlt", "redrive", f"emea|{number}", "--yes")
    assert result.exit_code == 1
    assert "quarantined" in result.output
    assert len(office.read(topics.ORDERS, key)) == MOST_REPLAYS
    assert "quarantined" in office.run("dlt", "show", letter["letter"]).output


def test_one_letter_sent_by_name_again_and_again_is_quarantined_too(office: Office) -> None:
    """Nothing came of it (the workers are down): the redrives on record count, not only the header."""
    number = office.number()
    office.write(office.order_letter(number))
    (letter,) = office.ls("--order", f"emea|{number}")
    codes = [office.run("dlt", "redrive", letter["letter"], "--yes").exit_code for _ in range(MOST_REPLAYS + 1)]
    assert codes == [0] * MOST_REPLAYS + [1]


def test_a_decision_goes_to_the_sink_with_the_letter(office: Office) -> None:
    for decision in ("post", "reissue"):
        number = office.number()
        key = f"shop|{number}"
        office.write(office.sale_letter(number, error_class=ErrorClass.HELD, code="other_money"))
        assert office.run("dlt", "redrive", key, "--decision", decision, "--yes").exit_code == 0
        (sent,) = office.read(SALES, key.encode())
        assert dict(sent.headers())["x-decision"] == decision.encode()


@pytest.mark.parametrize(
    ("code", "error_class", "decision"),
    [
        ("deleted_after_posting", ErrorClass.HELD, "reissue"),
        ("refund_of_unpaid", ErrorClass.HELD, "post"),
        ("invoice_differs", ErrorClass.CONFLICT, "reissue"),
    ],
)
def test_a_decision_that_makes_no_sense_for_a_letter_is_refused_with_a_sentence(
    office: Office, code: str, error_class: ErrorClass, decision: str
) -> None:
    number = office.number()
    key = f"shop|{number}"
    office.write(office.sale_letter(number, error_class=error_class, code=code))
    result = office.run("dlt", "redrive", key, "--decision", decision, "--yes")
    assert result.exit_code == 1
    assert f"--decision {decision} means that" in result.output
    assert f"not for {code}" in result.output
    assert office.read(SALES, key.encode()) == []


def test_a_held_letter_waits_for_a_decision_and_may_be_skipped(office: Office) -> None:
    number = office.number()
    key = f"shop|{number}"
    office.write(office.sale_letter(number, error_class=ErrorClass.HELD, code="other_money"))
    undecided = office.run("dlt", "redrive", key, "--yes")
    assert (undecided.exit_code, "a person must decide" in undecided.output) == (1, True)
    assert office.read(SALES, key.encode()) == []
    assert office.run("dlt", "redrive", key, "--decision", "skip", "--yes").exit_code == 0
    assert office.read(SALES, key.encode()) == []
    assert office.ls("--order", key) == []
    (letter,) = office.ls("--all", "--order", key)
    assert letter["state"] == "skipped"
    office.write(office.sale_letter(number, error_class=ErrorClass.HELD, code="other_money"))
    assert office.ls("--order", key) == [], "a replay meets the same version again: it is decided"
    office.write(office.sale_letter(number, error_class=ErrorClass.CONFLICT, code="invoice_differs"))
    assert [found["code"] for found in office.ls("--order", key)] == ["invoice_differs"], "that is another question"
    office.write(office.sale_letter(number, version=60, error_class=ErrorClass.HELD, code="other_money"))
    assert [found["state"] for found in office.ls("--order", key)] == ["open"]  # a newer edit needs its own decision


def test_max_takes_the_oldest_and_leaves_the_rest(office: Office) -> None:
    numbers = [office.number() for _ in range(3)]
    for number in numbers:
        office.write(office.order_letter(number, code="max_test"))
    result = office.run("dlt", "redrive", "--code", "max_test", "--max", "2", "--yes")
    assert result.exit_code == 0
    assert [letter["order"] for letter in office.ls("--code", "max_test")] == [f"emea|{numbers[-1]}"]


def test_rate_paces_and_an_interruption_marks_nothing(office: Office) -> None:
    for _ in range(5):
        office.write(office.order_letter(office.number(), code="rate_test"))
    found = [letter for letter in gather(office.kafka, office.codec, [ORG]) if letter.code == "rate_test"]
    slept: list[float] = []
    taken = Taken()
    done = carry_out(
        plan(found, None, [ORG]), taken, office.codec, by="t", clock=lambda: datetime.now(UTC), rate=2,
        monotonic=lambda: sum(slept), sleep=slept.append,
    )  # fmt: skip
    assert done == 5
    assert sum(slept) == pytest.approx(2.0)  # 2 at once, 2 after a second, the last after another
    refusing = Taken(fail=True)
    with pytest.raises(RedriveInterrupted, match="0 of 5 letters are done"):
        carry_out(plan(found, None, [ORG]), refusing, office.codec, by="t", clock=lambda: datetime.now(UTC))
    assert refusing.topics == [topics.ORDERS] * 5  # no mark was even tried


@dataclass
class Taken:
    """A delivery that keeps, or refuses, what it is given."""

    fail: bool = False
    topics: list[str] = field(default_factory=list)

    def deliver_now(self, records: Any) -> None:
        self.topics += [record.topic for record in records]
        if self.fail:
            raise NotDelivered("no acknowledgement")


def test_a_hint_is_resolved_by_the_orders_next_reading(office: Office) -> None:
    number = office.number()
    hint = {
        "instance": "emea", "site_name": "GoatUK", "object_type": "ecommerce.order", "object_id": number,
        "object_guid": None, "event_type": "order.paid", "source": "HINT", "event_id": None, "sequence": None,
        "occurred_at": None, "received_at": datetime.now(UTC), "traceparent": None,
    }  # fmt: skip
    key = f"emea|ecommerce.order|{number}"
    office.write(
        office._letter(Origin(topics.CHANGES, 0, 3, "reader", "read"), key, office.codec.encode("change", hint), key)
    )
    (letter,) = office.ls("--order", f"emea|{number}")
    assert letter["origin"] == topics.CHANGES
    read_at = datetime.now(UTC) + timedelta(seconds=1)
    office.write(office.result(f"emea|{number}", "SUPPRESSED", read_at, received_at=read_at))
    assert office.ls("--order", f"emea|{number}") == []


def test_trace_tells_the_story_in_order(office: Office) -> None:
    number = office.number()
    key = f"shop|{number}"
    order = samples.order(number, instance="shop", site="web")
    command = sink_commands.sale(number)
    entry: dict[str, Any] = {
        **dict.fromkeys(("xero_id", "status", "hash", "version", "observed_at", "total", "total_tax", "currency")),
        **dict.fromkeys(("contact_id", "command", "command_offset", "reason", "retry_at")),
        "org": ORG, "key": f"{key}|invoice|0", "kind": "invoice", "ordinal": 0, "state": "INTENDED",
        "number": f"W-{number}", "attempt": 0, "updated_at": datetime.now(UTC), "extra": {},
        "intention": {
            "step": "invoice", "idempotency_key": f"call-{number}", "body_sha256": "", "token_id": "t", "attempt": 2,
            "intended_at": datetime.now(UTC), "hash": "", "version": command["version"],
        },
    }  # fmt: skip
    ledger, raw = topics.ledger(ORG), office.codec.encode
    office.write(Record(topics.ORDERS, key.encode(), raw("order", order)))
    office.write(Record(SALES, key.encode(), raw("command", named(command))))
    neighbour = {**entry, "key": f"shop|x{number}|invoice|0", "number": f"W-x{number}"}
    for one in (entry, neighbour):
        office.write(Record(ledger, one["key"].encode(), raw("ledger", one)))
    posted = {**entry, "state": "POSTED", "status": "PAID", "xero_id": "i-7", "intention": None}
    office.write(Record(ledger, entry["key"].encode(), raw("ledger", posted)))
    office.write(office.result(key, "POSTED", command["version"], number=f"W-{number}", total="120", currency="GBP"))
    office.write(office.sale_letter(number))

    result = office.run("trace", f"w-{number}")
    assert result.exit_code == 0, result.output
    what = [line.split()[4] for line in result.output.splitlines() if line[2:3] == ":"]
    assert what == ["event", "command", "ledger", "ledger", "result", "letter"]
    for text in (
        "order.paid by WEBHOOK",
        f"SALE for uk, version 2026-11-20T09:00:00Z: W-{number}, 120.00 GBP, tax 20.00, paid 120.00 to 092",
        "intention to write it (invoice, attempt 2), one of 2 in its call",
        "PAID, id i-7",
        f"order POSTED as W-{number}, 120.00 GBP",
        "mapping/account_unknown",
        "(1 dead letter; a document took 2 attempts)",
    ):
        assert text in result.output
    for asked in (key, f"shop/web/{number}", f"shop/{number}", str(number)):
        found = json.loads(office.run("trace", asked, "--json").stdout)
        assert (found["order"], len(found["story"])) == (key, 6)
        assert [step["at"] for step in found["story"]] == sorted(step["at"] for step in found["story"])


def test_trace_of_nothing_and_of_two_says_so(office: Office) -> None:
    unknown = office.run("trace", "W-0")
    assert (unknown.exit_code, "nothing is known of 'W-0'" in unknown.output) == (1, True)
    assert "no instance 'nowhere'" in office.run("trace", "nowhere/1").output
    number = office.number()
    for instance in ("emea", "shop"):
        order = samples.order(number, instance=instance)
        office.write(Record(topics.ORDERS, f"{instance}|{number}".encode(), office.codec.encode("order", order)))
    result = office.run("trace", str(number))
    assert result.exit_code == 1
    assert f"more than one order: emea|{number}, shop|{number}" in result.output


def test_a_letter_is_told_apart_by_what_it_is_about() -> None:
    """A write-back that failed stays open although its order was posted: posting did not write anything back."""
    value = {"instance": "emea", "store": STORE, "order_id": "7", "fields": {}, "version": samples.START}
    letter = Letter(
        topics.dead_letter(topics.WRITEBACK), 0, 1, samples.START, b"emea|7", b"", [], "writeback", value
    )  # fmt: skip
    assert letter.order_key == "emea|7"
    assert letter.subject[0] == topics.WRITEBACK
