"""The sink whole: real Kafka, the Xero sandbox, real threads. Transactions, the fence, restarts, one partition."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.xero.core.events import Transact
from connectors.xero.core.records import entry, invoice_key
from connectors.xero.errors import LaneLost
from connectors.xero.ledger import LedgerStore
from connectors.xero.log import LaneLog
from connectors.xero.settings import SinkSettings
from k2x.audit.log import read_to_end
from schemas import topics
from tests.connectors.xero.commands import T0, tender
from tests.connectors.xero.office import CODEC, Office, office_sale, until
from tests.connectors.xero.servers import SandboxProcess

pytestmark = pytest.mark.kafka


def test_orders_are_paid_and_ledger_result_and_offset_agree(office: Office) -> None:
    office.put(*(office_sale(office, n, received_at=datetime.now(UTC)) for n in range(20)))
    with office.sink():
        until(lambda: office.outcomes().count("POSTED") == 20)
        until(lambda: office.committed() == 20)
        volume = {"org": office.slug}
        until(lambda: office.metrics.get_sample_value("k2x_xero_sales_invoices_30d", volume) == 20)
    invoices = office.invoices(office.slug)
    assert len(invoices) == 20
    assert {i["Status"] for i in invoices} == {"PAID"}
    ledger = office.ledger()
    assert {ledger[invoice_key(f"shop|{n}")]["status"] for n in range(20)} == {"PAID"}
    reference = read_to_end(office.kafka, [topics.REFERENCE])
    kinds = [
        CODEC.decode(v)["kind"]
        for m in reference
        if (v := m.value()) and (m.key() or b"").decode().startswith(office.slug + "|")
    ]
    assert kinds[-1] == "COMPLETE"
    assert kinds.count("ACCOUNT") > 50


def test_a_lost_answer_and_a_restart_leave_one_invoice_and_one_payment_each(office: Office) -> None:
    """The first owner is gone after its call has left; the next one reads back after lapse and deadline."""
    parts = [tender("20.00", 1), tender("100.00", 2)]
    stalled = {"kind": "stall_after", "method": "PUT", "path": "Payments", "seconds": 1.5}
    office.side_door("faults", stalled)
    office.put(office_sale(office, 1, payments=parts))
    with office.sink("a"):
        until(lambda: office.payments(office.slug))
    assert office.outcomes() == []
    with office.sink("b"):  # another machine: no local state
        until(lambda: "POSTED" in office.outcomes())
    assert [r["outcome"] for r in office.results() if r["kind"] == "payment"] == ["ADOPTED", "ADOPTED"]
    assert sorted(p["Amount"] for p in office.payments(office.slug)) == [20, 100]
    assert len(office.invoices(office.slug)) == 1


def test_a_restart_goes_on_where_it_was_and_posts_nothing_again(office: Office) -> None:
    orders = [office_sale(office, n) for n in range(10)]
    office.put(*orders)
    with office.sink():
        until(lambda: office.outcomes().count("POSTED") == 10)
    office.put(*orders, office_sale(office, 10))
    with office.sink():  # warm: the same state directory
        until(lambda: office.outcomes().count("POSTED") == 11)
        until(lambda: office.outcomes().count("UNCHANGED") == 10)
    assert len(office.invoices(office.slug)) == 11
    assert office.committed() == 21


def test_a_refused_order_is_a_letter_with_its_own_bytes(office: Office) -> None:
    bad = office_sale(office, 1, account="999999")
    office.put(bad)
    with office.sink():
        until(lambda: office.letters() == 1)
    message = next(iter(read_to_end(office.kafka, [topics.dead_letter(topics.commands(office.slug))])))
    headers = {name: (value or b"").decode() for name, value in message.headers() or []}
    assert message.value() == CODEC.encode("command", {**bad, "org": office.slug})
    assert message.key() == b"shop|1"
    assert (headers["x-error-class"], headers["x-error-code"]) == ("mapping", "account_invalid")
    assert headers["__connect.errors.topic"] == topics.commands(office.slug)
    assert office.ledger()[invoice_key("shop|1")]["state"] == "REFUSED"


def test_two_sinks_never_serve_one_organisation_at_once(office: Office) -> None:
    with office.sink("a") as first:
        until(lambda: first.lanes() == {office.slug: "running"})
        with office.sink("b") as second:
            office.put(*(office_sale(office, n) for n in range(10)))
            until(lambda: office.outcomes().count("POSTED") == 10)
            assert len(first.lanes()) + len(second.lanes()) == 1
    assert len(office.invoices(office.slug)) == 10


def test_an_organisation_that_is_not_configured_is_refused_and_disturbs_nobody(office: Office) -> None:
    def unknown(org: str) -> Any:
        raise KeyError(org)

    office.put(office_sale(office, 1))
    with office.sink(client=unknown) as sink:
        until(lambda: sink.lanes() == {office.slug: "refused"})
    assert office.committed() < 0


def test_a_topic_with_two_partitions_is_refused(
    kafka: str, xero_sandbox: SandboxProcess, topic_prefix: str, tmp_path: Path
) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topics.commands(topic_prefix), 2, 1)])[topics.commands(topic_prefix)].result()
    office = Office(kafka, xero_sandbox, topic_prefix, tmp_path)
    with office.sink() as sink:
        until(lambda: sink.lanes() == {topic_prefix: "refused"})


def test_killed_at_every_point_each_order_is_in_xero_once(office: Office) -> None:
    """kill -9 before the send, after it, after the answer, after the ledger, before the commit: one after another."""
    found = office.sandbox.organisations["uk"]
    given = {
        "kafka": office.kafka["bootstrap.servers"],
        "slug": office.slug,
        "group": f"g-{office.slug}",
        "state": str(office.home / "killed"),
        "token_url": f"{office.sandbox.url}/connect/token",
        "api_url": office.sandbox.api_url,
        "client_id": found["client_id"],
        "client_secret": found["client_secret"],
    }
    points = ("before_send", "after_send", "after_answer", "after_ledger:3", "before_commit:3")
    for n, point in enumerate(points):
        office.put(office_sale(office, n, payments=[tender("20.00", 1), tender("100.00", 2)]))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.connectors.xero.sink_process", json.dumps(given)],
            env={**os.environ, "K2X_CRASH_AT": point},
        )
        try:
            assert process.wait(60) == -signal.SIGKILL
        finally:
            process.kill()
    with office.sink("whole", instance_id="one"):  # the same member again: nobody waits for the dead one's session
        until(lambda: office.outcomes().count("POSTED") == len(points))
    assert sorted(i["InvoiceNumber"] for i in office.invoices(office.slug)) == [f"{office.slug}-{n}" for n in range(5)]
    assert [p["Amount"] for p in office.payments(office.slug)].count(20) == len(points)
    assert len(office.payments(office.slug)) == 2 * len(points)
    assert office.letters() == 0


def test_a_transaction_that_never_ends_costs_the_lane_and_no_order(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka's client may hang in it for ever: the lane is taken over anew, and the hanging one is fenced."""
    real, hangs, released = LaneLog.transact, threading.Event(), threading.Event()
    late: list[BaseException] = []

    def transact(log: LaneLog, work: Transact, group: Any) -> Any:
        if work.results and not hangs.is_set():
            hangs.set()  # Xero has done something, and the outcome hangs
            released.wait(60)
            try:
                return real(log, work, group)
            except LaneLost as error:
                late.append(error)
                raise
        return real(log, work, group)

    monkeypatch.setattr(LaneLog, "transact", transact)
    office.put(*(office_sale(office, n) for n in range(3)))
    with office.sink(transaction_timeout=1.5) as sink:
        until(lambda: office.outcomes().count("POSTED") == 3)
        assert hangs.is_set()
        assert sink.lanes() == {office.slug: "running"}
        released.set()
        until(lambda: late)
    assert len(office.invoices(office.slug)) == 3
    assert office.letters() == 0


# -- the log alone --------------------------------------------------------------------------------------------------


def _work(tx: int, key: str, offset: int) -> Transact:
    return Transact(tx, {key: entry("uk", key, "invoice", T0)}, offset=offset)


def _group(office: Office) -> Any:
    from confluent_kafka import Consumer

    consumer = Consumer({**office.kafka, "group.id": f"g-{office.slug}"})
    try:
        return consumer.consumer_group_metadata()
    finally:
        consumer.close()


def test_a_fenced_owner_commits_nothing_and_the_next_one_sees_what_came_before(office: Office, tmp_path: Path) -> None:
    settings = SinkSettings(state_dir=tmp_path, group_id=f"g-{office.slug}")
    old, new = (LaneLog(office.slug, office.kafka, settings, CODEC) for _ in range(2))
    office.put(*(office_sale(office, n) for n in range(10)))
    old.fence()
    _, end = old.transact(_work(1, "before", 3), _group(office))
    assert end == 2
    new.fence()
    with pytest.raises(LaneLost):
        old.transact(_work(2, "zombie", 9), _group(office))
    store = LedgerStore(None, CODEC)
    assert new.restore(store, lambda: False) == 2  # the entry, and the offset
    assert store.get("before") is not None
    assert store.get("zombie") is None
    assert new.standing(store).offset == 3


def test_an_open_transaction_of_a_dead_owner_is_never_seen(office: Office, tmp_path: Path) -> None:
    settings = SinkSettings(state_dir=tmp_path, group_id=f"g-{office.slug}")
    dead = Producer({**office.kafka, "transactional.id": f"k2x-sink-{office.slug}"})
    dead.init_transactions(10)
    dead.begin_transaction()
    half = entry("uk", "half", "invoice", T0)
    dead.produce(topics.ledger(office.slug), key=b"half", value=CODEC.encode("ledger", half))
    dead.flush(10)
    log = LaneLog(office.slug, office.kafka, settings, CODEC)
    log.fence()
    store = LedgerStore(None, CODEC)
    assert log.restore(store, lambda: False) == 0
    with pytest.raises(KafkaException):
        dead.commit_transaction(10)
    assert log.standing(store).offset == 0
    assert cast(Any, store.get("half")) is None
