"""Nothing unfinished expires: group offsets, transaction ids, compacted history, and a wait of weeks, on real Kafka."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from connectors.xero.core import control
from connectors.xero.core.events import Transact
from connectors.xero.core.records import entry, invoice_key, next_key, settled, waiting
from connectors.xero.core.state import Job
from connectors.xero.errors import LaneLost
from connectors.xero.lane import Clock
from connectors.xero.ledger import LedgerStore
from connectors.xero.log import LaneLog
from connectors.xero.settings import SinkSettings
from k2x.audit.log import read_to_end
from k2x.embedded.broker import EmbeddedKafka
from schemas import topics
from schemas.types import LedgerEntry
from tests.connectors.xero.commands import T0
from tests.connectors.xero.office import CODEC, Office, office_sale, until
from tests.connectors.xero.servers import SandboxProcess

pytestmark = pytest.mark.kafka
WEEK = timedelta(days=7)


def _log(office: Office) -> LaneLog:
    settings = SinkSettings(state_dir=office.home, group_id=f"g-{office.slug}")
    log = LaneLog(office.slug, office.kafka, settings, CODEC)
    log.fence()
    return log


def _write(log: LaneLog, *entries: LedgerEntry) -> None:
    log.transact(Transact(1, {e["key"]: e for e in entries}), None)


def _compact(office: Office, log: LaneLog, key: str) -> None:
    """Until the broker has dropped all but the last record of `key`, and tombstones would be gone too."""
    wanted = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "1"}
    changes = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in wanted.items()]
    topic = topics.ledger(office.slug)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=changes)
    admin = AdminClient(office.kafka)
    admin.incremental_alter_configs([resource])[resource].result(20)

    def one_left() -> bool:
        time.sleep(0.2)
        _write(log, entry(office.slug, "roll", "invoice", T0))  # a segment ends when a record comes after its time
        counts = Counter(m.key() for m in read_to_end(office.kafka, [topic]))
        return counts[key.encode()] <= 1

    until(one_left)


def _dump(store: LedgerStore) -> dict[str, Any]:
    return {row["key"]: row for row in store.entries()}


def test_a_copy_from_before_the_compaction_is_as_good_as_a_new_one(office: Office, tmp_path: Path) -> None:
    """Also for what was cleared meanwhile, which no tombstone tells any more."""
    log, org = _log(office), office.slug
    homes = [invoice_key(f"shop|{n}") for n in range(20)]
    held = [{**entry(org, next_key(home), "next", T0), "command": b"c", "state": "HELD"} for home in homes]
    _write(log, *(entry(org, home, "invoice", T0) for home in homes), *held)  # type: ignore[arg-type]
    copy = LedgerStore(tmp_path / "copy.sqlite3", CODEC)
    log.restore(copy, lambda: False)
    copy.close()
    for version in range(3):
        _write(log, *({**entry(org, home, "invoice", T0), "number": f"{home}-{version}"} for home in homes))
    _write(log, *(settled({**row, "state": "VOIDED"}) for row in held))  # type: ignore[typeddict-item]
    _compact(office, log, homes[0])
    old, new = LedgerStore(tmp_path / "copy.sqlite3", CODEC), LedgerStore(None, CODEC)
    for store in (old, new):
        log.restore(store, lambda: False)
    assert _dump(old) == _dump(new)
    assert [row["command"] for row in old.entries() if row["kind"] == "next"] == [None] * 20
    assert {row["number"] for row in old.entries() if row["kind"] == "invoice" and row["key"] in homes} == {
        f"{home}-2" for home in homes
    }


def test_an_order_that_waits_a_week_outlives_restarts_and_compaction(office: Office) -> None:
    command = {**office_sale(office, 1), "org": office.slug}
    value = CODEC.encode("command", command)
    home = invoice_key("shop|1")
    log = _log(office)
    job = Job(command, b"shop|1", value, (("traceparent", b"00-ab"),), None, 0, home)  # type: ignore[arg-type]
    for attempt in range(3):
        waits = waiting(entry(office.slug, home, "invoice", T0), job, "paused", datetime.now(UTC), 7 * 86400.0)
        _write(log, {**waits, "attempt": attempt})
    _compact(office, log, home)
    with office.sink("now") as sink:
        until(lambda: sink.lanes() == {office.slug: "running"})
        office.put(office_sale(office, 2))
        until(lambda: office.outcomes() == ["POSTED"])
    assert office.ledger()[home]["state"] == "WAITING"
    assert len(office.invoices(office.slug)) == 1
    late = Clock(utc=lambda: datetime.now(UTC) + WEEK + timedelta(hours=1))
    with office.sink("another-machine", clock=late):
        until(lambda: office.outcomes() == ["POSTED", "POSTED"])
    assert sorted(i["InvoiceNumber"] for i in office.invoices(office.slug)) == [f"{office.slug}-{n}" for n in (1, 2)]
    assert office.ledger()[home]["status"] == "PAID"


def test_lost_group_offsets_are_known_from_the_ledger(office: Office) -> None:
    orders = [office_sale(office, n) for n in range(10)]
    office.put(*orders)
    with office.sink():
        until(lambda: office.outcomes().count("POSTED") == 10)
        until(lambda: office.committed() == 10)
    group = f"g-{office.slug}"
    admin = AdminClient(office.kafka)  # kept: one that is let go never answers
    admin.delete_consumer_groups([group])[group].result(20)
    assert office.committed() < 0
    office.put(office_sale(office, 10))
    with office.sink():
        until(lambda: office.outcomes().count("POSTED") == 11)
        until(lambda: office.committed() == 11)
    assert office.outcomes() == ["POSTED"] * 11, "none of the finished ones was read again"
    assert office.ledger()[control.OFFSET]["command_offset"] == 11
    assert len(office.invoices(office.slug)) == 11


@pytest.fixture
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of its own that forgets transactional ids and producers after seconds, not after weeks."""
    settings = {
        "transactional.id.expiration.ms": 5000,
        "transaction.remove.expired.transaction.cleanup.interval.ms": 250,
        "producer.id.expiration.ms": 5000,
        "producer.id.expiration.check.interval.ms": 250,
    }
    with EmbeddedKafka(tmp_path_factory.mktemp("forgetful"), settings=settings) as broker:
        yield broker.bootstrap


def _forgotten(office: Office, log: LaneLog, attempt: int) -> bool:
    """Whether the broker knows the id no more, after a rest that is long by its own clock."""
    time.sleep(6.0)
    try:
        _write(log, entry(office.slug, f"after-{attempt}", "invoice", T0))
    except LaneLost:
        return True
    return False


def test_a_transactional_id_that_the_broker_has_forgotten_is_opened_again(
    forgetful: str, xero_sandbox: SandboxProcess, topic_prefix: str, tmp_path: Path
) -> None:
    office = Office(forgetful, xero_sandbox, topic_prefix, tmp_path)
    other = Office(forgetful, xero_sandbox, f"{topic_prefix}-log", tmp_path / "log")
    office.put(office_sale(office, 1))
    with office.sink() as sink:
        until(lambda: office.outcomes() == ["POSTED"])
        log = _log(other)
        _write(log, entry(other.slug, "before", "invoice", T0))
        assert any(_forgotten(other, log, n) for n in range(10))
        office.put(office_sale(office, 2))
        until(lambda: office.outcomes() == ["POSTED", "POSTED"])
        assert sink.lanes() == {office.slug: "running"}
    assert len(office.invoices(office.slug)) == 2
    assert len(office.payments(office.slug)) == 2
    again = _log(other)
    _write(again, entry(other.slug, "reopened", "invoice", T0))
    assert "reopened" in other.ledger()
