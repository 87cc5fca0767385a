"""Limits and people's edits with everything real: Kafka, threads, the client, the sandbox's own rules."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from connectors.xero.core.records import entry, invoice_key
from schemas import topics
from tests.connectors.xero.commands import T0
from tests.connectors.xero.office import CODEC, SHORT, Office, office_sale, until
from tests.connectors.xero.servers import SandboxProcess

pytestmark = pytest.mark.kafka
TOMORROW = {"kind": "429", "path": "Contacts", "method": "POST", "problem": "day", "retry_after": 66_975}


def _pause(office: Office, reason: str) -> float:
    labels = {"org": office.slug, "reason": reason}
    return office.metrics.get_sample_value("k2x_sink_pause_seconds", labels) or 0.0


def _edit(office: Office, **order: Any) -> None:
    office.side_door("edit", {"org": "uk", **order})


def _who(office: Office, customer: int) -> dict[str, Any]:
    found: dict[str, Any] = office_sale(office, 1, customer=customer)["body"]["contact"]  # type: ignore[index,typeddict-item,assignment]
    return found


def test_retry_after_of_hours_holds_no_thread_and_no_rebalance(office: Office) -> None:
    """A lane that Xero keeps waiting until tomorrow is seen to, ends at once, and its successor goes on."""
    office.side_door("faults", TOMORROW)
    office.put(office_sale(office, 1))
    with office.sink("a", core=SHORT.model_copy(update={"auth_retry": 1.0})) as sink:
        until(lambda: _pause(office, "day") > 60_000)
        until(lambda: office.committed() == 1)  # the order waits in the ledger, so its record is finished
        assert office.ledger()[invoice_key("shop|1")]["state"] == "WAITING"
        assert sink.lanes() == {office.slug: "full"}
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 20
    with office.sink("b"):  # a new owner asks once, and Xero has forgotten its limit
        until(lambda: "POSTED" in office.outcomes())
    assert office.letters() == 0
    assert [i["Status"] for i in office.invoices(office.slug)] == ["PAID"]


def test_an_organisation_that_waits_for_tomorrow_delays_no_other_and_no_rebalance(
    office: Office, kafka: str, xero_sandbox: SandboxProcess, tmp_path: Path
) -> None:
    other = Office(kafka, xero_sandbox, f"{office.slug}-2", tmp_path / "other")
    office.side_door("faults", TOMORROW)
    office.put(*(office_sale(office, n) for n in range(5)))
    with office.sink("a", others=(other,)) as sink:
        until(lambda: _pause(office, "day") > 60_000)
        other.put(*(office_sale(other, n) for n in range(5)))
        until(lambda: other.outcomes().count("POSTED") == 5)
        assert set(sink.lanes()) == {office.slug, other.slug}
        registry = office.metrics
        with office.sink("b", others=(other,)) as second:  # one of the two lanes moves, whichever it is
            until(lambda: len(sink.lanes()) == len(second.lanes()) == 1)
        office.metrics = registry
        until(lambda: len(sink.lanes()) == 2)
    assert office.letters() == other.letters() == 0


def test_what_people_do_in_xero_by_hand_stops_only_the_orders_it_concerns(office: Office, tmp_path: Path) -> None:
    """A number voided, a contact archived and restored, two merged, and one that these books never had."""
    gone = _forget(office, _who(office, 4))
    second = office_sale(office, 2, customer=2)
    office.put(office_sale(office, 1, customer=1), second)
    with office.sink("a"):
        until(lambda: office.outcomes().count("POSTED") == 2)
        _edit(office, action="merge_contact", number=_who(office, 1)["number"], into=_who(office, 2)["number"])
        _edit(office, action="archive_contact", number=_who(office, 2)["number"])
        # Xero answers 404, without a name, to a whole request with the contact that it never had.
        office.put(*(office_sale(office, n, customer=n) for n in (3, 4, 5, 6)), office_sale(office, 7, customer=1))
        until(lambda: office.outcomes().count("POSTED") == 6 and office.letters() == 1)
        _edit(office, action="restore_contact", number=_who(office, 2)["number"])
        office.put(office_sale(office, 7, customer=1))
        until(lambda: office.outcomes().count("POSTED") == 7)
    contacts = {i["InvoiceNumber"]: i["Contact"]["ContactID"] for i in office.invoices(office.slug)}
    assert contacts[f"{office.slug}-7"] == contacts[f"{office.slug}-2"], "the merged customer is followed"
    assert gone not in contacts.values()
    assert len(contacts) == 7
    assert office.letters() == 1
    _edit(office, action="void", number=f"{office.slug}-2")
    bare = Office(office.kafka["bootstrap.servers"], office.sandbox, f"{office.slug}-n", tmp_path / "n")
    bare.put(second)
    with bare.sink("n"):  # another ledger, the same books
        until(lambda: bare.letters() == 1)
    found = bare.ledger()[invoice_key("shop|2")]
    assert found["state"] == "HELD"
    assert "is VOIDED in Xero" in found["reason"]
    assert len(office.invoices(office.slug)) == 7


def _forget(office: Office, who: dict[str, Any]) -> str:
    """The ledger names an id of this customer that Xero never gave; the id."""
    gone = entry(office.slug, who["key"], "contact", T0)
    gone["state"], gone["xero_id"], gone["number"] = "POSTED", str(uuid4()), who["number"]
    producer = Producer({**office.kafka, "enable.idempotence": True})
    producer.produce(topics.ledger(office.slug), key=who["key"].encode(), value=CODEC.encode("ledger", gone))
    assert producer.flush(10) == 0
    return gone["xero_id"]
