"""`k2x summary` as a person uses it, on a real Kafka: which summaries there are, and whether what one holds adds up."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.xero.core.records import entry, invoice_key, payment_key
from k2x import kafka_topics
from k2x.cli import main
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.ids import CommittedIds
from schemas.types import LedgerEntry
from tests.k2x.test_ledger_command import CONFIG

pytestmark = pytest.mark.kafka
CODEC = Codec(CommittedIds())
NOW = datetime.now(UTC)
TODAY = f"{NOW:%Y%m%d}"
KEY, NUMBER = f"shop|web/S{TODAY}-GBP", f"W-S{TODAY}-GBP"
CLOSES = (NOW + timedelta(hours=12)).replace(microsecond=0)


@dataclass
class Desk:
    """An organisation's ledger, and an operator at the command line."""

    kafka: dict[str, Any]
    org: str
    config: Path

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["summary", *arguments, "--config", str(self.config)])

    def write(self, entries: Iterable[LedgerEntry | str]) -> None:
        """Entries, and keys of entries that are taken out."""
        delivery, topic = Deliverer(self.kafka), topics.ledger(self.org)
        delivery.deliver_now(
            [
                Record(topic, one.encode(), None)
                if isinstance(one, str)
                else Record(topic, one["key"].encode(), CODEC.encode("ledger", one))
                for one in entries
            ]
        )
        delivery.close()


@pytest.fixture
def desk(kafka: str, topic_prefix: str, tmp_path: Path) -> Desk:
    conf: dict[str, Any] = {"bootstrap.servers": kafka}
    kafka_topics.apply(conf, [topic_prefix], 1, 1)
    config = tmp_path / "k2x.yaml"
    config.write_text(CONFIG.format(bootstrap=kafka, org=topic_prefix), "utf-8")
    return Desk(conf, topic_prefix, config)


def summary(org: str, count: int, phase: str = "posted", key: str = KEY, number: str = NUMBER) -> LedgerEntry:
    made = entry(org, invoice_key(key), "invoice", NOW)
    made["number"], made["currency"] = number, "GBP"
    made["extra"] = {"phase": phase, "members": str(count), "closes_at": CLOSES.isoformat()}
    if phase == "open":
        made["state"], made["reason"], made["retry_at"] = "WAITING", "takes orders", CLOSES
    else:
        made["state"], made["status"], made["xero_id"] = "POSTED", "PAID", "x-1"
        made["total"], made["total_tax"] = str(Decimal("12.10") * count), str(Decimal("2.10") * count)
    return made


def members(org: str, numbers: Iterable[int], key: str = KEY, number: str = NUMBER) -> list[LedgerEntry]:
    """Each with its order's own entry."""
    found = []
    for order in numbers:
        own = entry(org, invoice_key(f"shop|{order}"), "order", NOW)
        own["extra"], own["version"] = {"summary": key}, NOW
        member = entry(org, f"{key}|member|shop|{order}", "member", NOW)
        for one in (own, member):
            one["state"], one["number"], one["currency"] = "POSTED", number, "GBP"
            one["total"], one["total_tax"] = "12.10", "2.10"
        found += [own, member]
    return found


def payment(org: str, amount: str) -> LedgerEntry:
    made = entry(org, payment_key(KEY, 1), "payment", NOW)
    made["state"], made["number"], made["total"] = "POSTED", f"{NUMBER}/1", amount
    return made


def test_summaries_are_listed_by_day_with_count_sums_and_when_they_close(desk: Desk, tmp_path: Path) -> None:
    yesterday = f"{NOW - timedelta(days=1):%Y%m%d}"
    open_key, open_number = f"shop|web/S{TODAY}-EUR", f"W-S{TODAY}-EUR"
    old = summary(desk.org, 1, key="shop|web/S20200101-GBP", number="W-S20200101-GBP")
    posted = summary(desk.org, 3, key=f"shop|web/S{yesterday}-GBP", number=f"W-S{yesterday}-GBP")
    desk.write([posted, *members(desk.org, range(3), f"shop|web/S{yesterday}-GBP", f"W-S{yesterday}-GBP"), old])
    desk.write(
        [summary(desk.org, 2, "open", open_key, open_number), *members(desk.org, [7, 8, 9], open_key, open_number)]
    )
    desk.write([f"{open_key}|member|shop|9"])
    csv_file = tmp_path / "list.csv"
    shown = desk.run("ls", "--json", "--csv", str(csv_file))
    assert shown.exit_code == 0, shown.output
    first, second = map(json.loads, shown.output.splitlines())
    assert (first["number"], first["state"], first["count"], first["total"]) == (
        f"W-S{yesterday}-GBP",
        "posted",
        3,
        "36.30",
    )
    assert (second["number"], second["state"], second["count"], second["tax"]) == (open_number, "open", 2, "4.20")
    assert second["closes_at"] == CLOSES.isoformat()
    assert [row["number"] for row in csv.DictReader(csv_file.open(encoding="utf-8"))] == [first["number"], open_number]
    text = desk.run("ls", "--state", "open").output
    assert open_number in text
    assert f"W-S{yesterday}-GBP" not in text
    assert "No summaries" in desk.run("ls", "--since", f"{NOW + timedelta(days=2):%Y-%m-%d}").output
    assert "W-S20200101-GBP" in desk.run("ls", "--since", "2020-01-01", "--until", "2020-01-02").output
    assert "there are shop/web" in desk.run("ls", "--store", "shop/other").output


def test_a_summarys_orders_are_shown_and_add_up(desk: Desk, tmp_path: Path) -> None:
    desk.write([summary(desk.org, 3), *members(desk.org, [11, 12, 13]), payment(desk.org, "36.30")])
    csv_file = tmp_path / "orders.csv"
    shown = desk.run("show", NUMBER.lower(), "--csv", str(csv_file))
    assert shown.exit_code == 0, shown.output
    assert "It adds up" in shown.output
    assert "3 orders" in shown.output
    rows = list(csv.DictReader(csv_file.open(encoding="utf-8")))
    assert [(row["order"], row["total"]) for row in rows] == [(f"shop|{n}", "12.10") for n in (11, 12, 13)]
    told = json.loads(desk.run("show", NUMBER, "--json").output)
    assert (told["faults"], told["total"], told["tax"], len(told["orders"])) == ([], "36.30", "6.30", 3)


def test_what_does_not_add_up_is_said_order_by_order_and_ends_with_code_1(desk: Desk) -> None:
    everyone = members(desk.org, [11, 12, 13, 14])
    everyone[0]["extra"] = {"summary": f"{KEY}-2"}  # the order says another summary
    everyone[2]["total"] = "12.11"  # other money than it was counted with
    desk.write([summary(desk.org, 3), *everyone[:6], everyone[7], payment(desk.org, "36.30")])
    told = desk.run("show", NUMBER, "--json")
    assert told.exit_code == 1
    faults = " / ".join(json.loads(told.output)["faults"])
    assert "shop|11: its own entry says" in faults
    assert "shop|12: 12.10 and 2.10 tax here, 12.11" in faults
    assert "shop|14: the ledger has no entry of its own" in faults
    assert "it was closed with 3 and has 4" in faults
    assert "its orders come to 48.40" in faults
    assert "its payments come to 36.30" in faults


def test_a_number_that_no_summary_has_is_said_in_a_sentence(desk: Desk) -> None:
    result = desk.run("show", "W-S20000101-GBP")
    assert result.exit_code == 1
    assert "no summary has the number 'W-S20000101-GBP': `k2x summary ls` lists them" in result.output
