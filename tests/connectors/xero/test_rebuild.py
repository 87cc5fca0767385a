"""A ledger lost on real Kafka: the lane stops by itself; rebuilt from Xero without one write, all is as before."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.xero.core import control
from connectors.xero.core.records import invoice_key
from k2x import ledger as ledgers
from schemas import topics
from schemas.types import Command
from tests.connectors.xero.commands import envelope, tender
from tests.connectors.xero.office import CODEC, SHORT, UNPACED, Office, office_sale, until

pytestmark = pytest.mark.kafka
_ORDERS = 57
_CANCELLED, _REFUSED, _WAITING, _LIVE = 57, 58, 59, 60
_EDITED = (3, 5)  # issued anew; the second was paid by two tenders
_HASTY = SHORT.model_copy(update={"moment": 0.3})  # trouble of a moment already puts an order into the ledger


def _commands(office: Office) -> list[Command]:
    """Some paid in part by gift cards; one deleted before it was paid; one that Xero refuses."""
    parts = [tender("20.00", 1), tender("100.00", 2)]
    orders = [office_sale(office, n, payments=parts if n % 5 == 0 else None) for n in range(_ORDERS)]
    number = str(_CANCELLED)
    cancel = envelope("CANCEL", f"shop|{number}", None, org="uk", order=number, version=9)
    refused = office_sale(office, _REFUSED, account="999999")
    money: dict[str, Any] = {"version": 9, "total": "60.00", "tax": "10.00", "on_other_money": "REISSUE"}
    edited = [office_sale(office, n, **money) for n in _EDITED]
    return [*orders, cancel, office_sale(office, _CANCELLED), refused, *edited]


def _documents(office: Office) -> dict[str, dict[str, Any]]:
    """The ledger, less what tells of times, attempts and k2x itself."""
    left_out = ("updated_at", "attempt", "retry_at")
    return {
        key: {name: value for name, value in entry.items() if name not in left_out}
        for key, entry in office.ledger().items()
        if not key.startswith(control.PREFIX)
    }


def _writes(office: Office) -> int:
    """Documents that Xero was asked to write, whatever came of it."""
    rows = office.side_door("requests?org=uk")["counts"]
    return sum(row["elements"] for row in rows if row["method"] in ("PUT", "POST"))


def _counts(asked: ledgers.Rebuild) -> Mapping[str, int]:
    """Of a rebuild that has come to its end."""
    ends = time.monotonic() + 60
    told = None
    for progress in asked.follow(0.2):
        told = progress or told
        assert time.monotonic() < ends, told
    assert told is not None
    assert not told.phase
    return told.counts


def _work_off(office: Office, commands: list[Command]) -> None:
    """All but one order come to their end; that one waits, for Xero is away when its payment is due."""
    office.put(*commands)
    with office.sink(core=_HASTY, limits=UNPACED):
        until(lambda: office.committed() == len(commands))
        office.side_door("faults", {"kind": "503", "method": "PUT", "path": "Payments", "times": 0})
        office.put(office_sale(office, _WAITING))
        until(lambda: office.ledger().get(invoice_key(f"shop|{_WAITING}"), {}).get("state") == "WAITING")
        until(lambda: office.committed() == len(commands) + 1)
    office.side_door("faults", method="DELETE")


def test_a_lost_ledger_is_rebuilt_from_xero_without_a_write_and_nothing_is_posted_again(office: Office) -> None:
    commands = _commands(office)
    _work_off(office, commands)
    before, written, letters = _documents(office), _writes(office), office.letters()
    assert len(office.invoices(office.slug)) == _ORDERS + 1 + len(_EDITED)
    office.make_topic_anew(topics.ledger(office.slug))
    shutil.rmtree(office.home / "a")

    with ledgers.rebuild(office.kafka, CODEC, office.slug) as asked:
        with office.sink() as sink:  # nobody has asked: it must not go on as if all were new
            until(lambda: sink.lanes() == {office.slug: "ledger lost"})
            office.put(office_sale(office, _LIVE))
            asked.ask(datetime.now(UTC))
            until(lambda: sink.lanes() == {office.slug: "rebuilding its ledger"})
        assert office.outcomes().count("POSTED") == _ORDERS + len(_EDITED)
        assert _writes(office) == written
        with office.sink("another-machine", limits=UNPACED):  # goes on where the other one was stopped
            counts = _counts(asked)
            until(lambda: office.outcomes().count("POSTED") == _ORDERS + len(_EDITED) + 2)
            until(lambda: office.committed() == len(commands) + 3)
            pages = office.calls("rebuild")
    assert pages <= 2 + counts["xero invoices"] // 1000  # the last one is of credit notes
    after = _documents(office)
    gone_on = (f"shop|{_WAITING}|", f"shop|{_LIVE}|", f"shop|C{_LIVE}")
    for ledger in (before, after):
        for key in [key for key in ledger if key.startswith(gone_on)]:
            del ledger[key]
    assert after == before
    assert (counts["invoices"], counts["payments"]) == (_ORDERS + 1 + len(_EDITED), _ORDERS + 12 + len(_EDITED))
    assert counts["credited"] == len(_EDITED)
    assert (counts["cancelled"], counts["refused or held"], counts["waiting"]) == (1, 1, 1)
    assert counts["conflicts"] == counts.get("gone from Xero", 0) == 0
    assert office.letters() == letters
    assert (
        _writes(office) == written + 1 + 3
    )  # the waiting order's payment; the live one's contact, invoice and payment

    for n in (_WAITING, _LIVE):
        commands.append(office_sale(office, n))
    again = [command for command in commands if command["key"] != f"shop|{_REFUSED}"]
    office.put(*again)
    with office.sink("a third one", limits=UNPACED):
        until(lambda: office.outcomes().count("UNCHANGED") >= len(again))
    assert _writes(office) == written + 4
    assert len(office.invoices(office.slug)) == _ORDERS + 2 + len(_EDITED)
    assert len(office.payments(office.slug)) == _ORDERS + 12 + 2 + len(_EDITED)


def test_a_ledger_topic_made_anew_beneath_a_running_lane_is_noticed_with_its_next_order(office: Office) -> None:
    """The producer goes on as if nothing had happened. Only the certificate tells: a lane at work never writes it."""
    with office.sink(limits=UNPACED) as sink:
        office.put(office_sale(office, 1))
        until(lambda: office.committed() == 1)
        office.make_topic_anew(topics.ledger(office.slug))
        office.put(office_sale(office, 2))
        until(lambda: sink.lanes() == {office.slug: "ledger lost"})
        office.put(office_sale(office, 3))
        with ledgers.rebuild(office.kafka, CODEC, office.slug) as asked:
            asked.ask(datetime.now(UTC))
            assert _counts(asked)["invoices"] >= 1
        until(lambda: office.outcomes().count("POSTED") == 3)
    assert sorted(i["InvoiceNumber"] for i in office.invoices(office.slug)) == [f"{office.slug}-{n}" for n in (1, 2, 3)]
    assert len(office.payments(office.slug)) == 3
