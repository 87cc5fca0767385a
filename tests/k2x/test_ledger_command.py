"""`k2x ledger` as a person uses it, on a real Kafka: what the ledger has, and a rebuild asked for and followed."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.xero.core import control
from connectors.xero.core.events import Record as Command
from connectors.xero.core.records import entry, invoice_key, payment_key
from k2x import kafka_topics
from k2x.audit.log import read_to_end
from k2x.cli import main
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.ids import CommittedIds
from schemas.types import LedgerEntry
from tests.connectors.xero.commands import T0

pytestmark = pytest.mark.kafka
CODEC = Codec(CommittedIds())
CONFIG = """\
kafka: {{bootstrap: "{bootstrap}"}}
organisations: {{{org}: {{client_id: "0", client_secret_env: NONE, rules: uk.yaml}}}}
instances: {{shop: {{time_zone: Europe/London}}}}
stores: {{shop/web: {{organisation: {org}}}}}
"""


@dataclass
class Desk:
    """An organisation's ledger, and an operator at the command line."""

    kafka: dict[str, Any]
    org: str
    config: Path

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["ledger", *arguments, "--config", str(self.config)])

    def write(self, *entries: LedgerEntry) -> None:
        delivery = Deliverer(self.kafka)
        topic = topics.ledger(self.org)
        delivery.deliver_now([Record(topic, e["key"].encode(), CODEC.encode("ledger", e)) for e in entries])
        delivery.close()

    def asked(self) -> list[dict[str, Any]]:
        """The commands that ask for a rebuild."""
        rows = read_to_end(self.kafka, [topics.commands(self.org)])
        return [CODEC.decode(m.value() or b"") for m in rows if m.key() == control.REBUILD.encode()]


@pytest.fixture
def desk(kafka: str, topic_prefix: str, tmp_path: Path) -> Desk:
    conf: dict[str, Any] = {"bootstrap.servers": kafka}
    kafka_topics.apply(conf, [topic_prefix], 1, 1)
    config = tmp_path / "k2x.yaml"
    config.write_text(CONFIG.format(bootstrap=kafka, org=topic_prefix), "utf-8")
    return Desk(conf, topic_prefix, config)


def _posted(org: str, key: str, kind: str, number: str) -> LedgerEntry:
    made = entry(org, key, kind, T0)
    made["state"], made["status"], made["number"], made["xero_id"] = "POSTED", "PAID", number, f"id-{number}"
    made["total"], made["currency"], made["version"] = "120.00", "GBP", T0
    return made


def test_an_order_is_shown_with_all_its_documents_and_by_its_number(desk: Desk) -> None:
    old, invoice = (_posted(desk.org, invoice_key("shop|7"), "invoice", "W-7") for _ in range(2))
    old["state"] = "INTENDED"
    payment, other = (_posted(desk.org, key, "payment", number) for key, number in
                      ((payment_key("shop|7", 1), "W-7/1"), (payment_key("shop|77", 1), "W-77/1")))  # fmt: skip
    desk.write(old, invoice, payment, other)
    shown = desk.run("show", "shop|7")
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert [line.split()[1] for line in lines] == [invoice_key("shop|7"), payment_key("shop|7", 1)]
    assert "POSTED PAID" in lines[0]
    assert "W-7  120.00 GBP  id-W-7  version 2026-11-20 09:00:00 UTC" in lines[0]
    row = json.loads(desk.run("show", "W-7", "--org", desk.org, "--json").output)
    assert (row["key"], row["state"]) == (invoice_key("shop|7"), "POSTED")


def test_what_no_ledger_has_is_said_in_a_sentence(desk: Desk) -> None:
    result = desk.run("show", "shop|404")
    assert result.exit_code == 1
    assert "no ledger has an entry of 'shop|404'" in result.output
    result = desk.run("rebuild", "--org", "nobody", "--yes")
    assert result.exit_code == 1
    assert f"no such organisation in the configuration; there are {desk.org}" in result.output


def test_a_rebuild_is_asked_for_and_followed_to_its_counts(desk: Desk) -> None:
    def owner() -> None:
        """Does as a lane owner would, without the work."""
        ends = time.monotonic() + 30
        while not (found := desk.asked()) and time.monotonic() < ends:
            time.sleep(0.1)
        record = Command(0, None, b"", (), found[0])  # type: ignore[arg-type]
        asked = control.rebuild_asked(desk.org, record, T0)
        desk.write(control.rebuild_progress(asked, "xero", {"done": 2000, "of": 0}, T0))
        desk.write(control.rebuild_progress(asked, "", {"invoices": 1999, "conflicts": 1}, T0))

    thread = threading.Thread(target=owner)
    thread.start()
    result = desk.run("rebuild", "--org", desk.org, "--yes")
    thread.join()
    assert result.exit_code == 0, result.output
    assert f"The ledger of {desk.org} is whole: 1,999 invoices, 1 conflicts." in result.output
    assert "--class conflict" in result.output
    assert "sales invoices read from Xero: 2,000" in result.stderr


def test_a_rebuild_needs_a_yes_and_may_be_left_alone(desk: Desk) -> None:
    refused = CliRunner().invoke(main, ["ledger", "rebuild", "--org", desk.org, "--config", str(desk.config)], "n\n")
    assert refused.exit_code == 1
    assert desk.asked() == []
    assert desk.run("rebuild", "--org", desk.org, "--yes", "--no-wait").exit_code == 0
    assert [command["kind"] for command in desk.asked()] == ["REBUILD"]
