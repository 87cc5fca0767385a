"""A lost ledger with sales refunded unpaid: voids and allocations are known again, and nothing is done twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from connectors.xero.core.events import Record
from connectors.xero.core.rebuild import Restoration
from connectors.xero.core.records import allocation_key, credit_key, invoice_key
from connectors.xero.core.said import Said, heard
from schemas.types import LedgerEntry
from tests.connectors.xero.commands import T0
from tests.connectors.xero.core.test_unpaid import _refund, _unpaid
from tests.connectors.xero.core.world import CODEC, World

_THINGS = {"SALE": "order", "REFUND": "order_refund"}
HOME = invoice_key("shop|1")


@dataclass
class Books:
    """What the paper Xero shows."""

    world: World

    def by_number(self, number: str) -> dict[str, Any] | None:
        return next((i for i in map(self.world.xero.show, self.world.xero.invoices.values())
                     if i["InvoiceNumber"] == number), None)  # fmt: skip

    def by_id(self, id: str) -> dict[str, Any] | None:
        return self.world.xero.show(self.world.xero.invoices[id]) if id in self.world.xero.invoices else None

    def credit_by_number(self, number: str) -> dict[str, Any] | None:
        return next((c for c in map(self.world.xero.show, self.world.xero.credit_notes.values())
                     if c["CreditNoteNumber"] == number), None)  # fmt: skip


class _Empty:
    def get(self, key: str) -> LedgerEntry | None:
        return None

    def holder(self, kind: str, number: str) -> str | None:
        return None


def rebuilt(world: World) -> dict[str, LedgerEntry]:
    """The ledger anew, of the topic, the results and Xero."""
    said: dict[str, Said] = {}
    for result in world.results:
        thing = "order_refund" if result["kind"] == "order_refund" else "order"
        if result["kind"] in ("order", "invoice", "order_refund"):
            said[thing] = heard(said.get(thing, Said()), result)
    made = Restoration(
        "uk", _Empty(), Books(world), len(world.log), CODEC.decode, lambda: T0,  # type: ignore[arg-type]
        lambda command: CODEC.encode("command", command),
    )  # fmt: skip
    records_ = [
        Record(offset, command["key"].encode(), value, (), command) for offset, (command, value) in enumerate(world.log)
    ]
    open_ = [record for record in records_ if made.adopt(record)]
    for record in open_:
        assert record.command is not None
        made.decide(record, said.get(_THINGS[record.command["kind"]], Said()), Said())
    return made.take()[0]


@pytest.mark.parametrize(
    ("paid", "rule", "total", "tax"),
    [
        ("0.00", "VOID", "120.00", "20.00"),
        ("0.00", "CREDIT", "120.00", "20.00"),
        ("0.00", "CREDIT", "30.00", "5.00"),
        ("30.00", "CREDIT", "120.00", "20.00"),
    ],
)
def test_what_was_done_is_known_again_and_is_not_done_twice(paid: str, rule: str, total: str, tax: str) -> None:
    world = _unpaid(paid).put(_refund(rule, total=total, tax=tax)).run()
    entries = rebuilt(world)
    known = ("state", "status", "xero_id", "number", "total", "currency")
    for key in (HOME, credit_key("shop|1", "r1"), allocation_key("shop|1", "r1")):
        before, after = world.store.get(key), entries.get(key)
        assert (before is None) == (after is None), key
        if before is not None and after is not None:
            assert [after[name] for name in known] == [before[name] for name in known], key  # type: ignore[literal-required]
            shares = {n: t for n, t in before["extra"].items() if n.startswith("refund:") or n == "allocated"}
            assert shares.items() <= after["extra"].items()
    for entry in entries.values():
        world.change(entry)
    sends = len([send for send in world.sends if send.call.writes])
    world.put(_refund(rule, total=total, tax=tax)).run()
    assert world.outcomes("order_refund")[-1] == "UNCHANGED"
    assert len([send for send in world.sends if send.call.writes]) == sends


def test_a_credit_note_whose_rest_was_not_given_back_goes_on_from_there() -> None:
    world = _unpaid("30.00")
    original = world.xero._refund
    words = {"HasValidationErrors": True, "ValidationErrors": [{"Message": "Account could not be found"}]}
    world.xero._refund = lambda row, note: {**row, **words}  # type: ignore[method-assign]
    world.put(_refund("CREDIT")).run()
    entries = rebuilt(world)
    world.xero._refund = original  # type: ignore[method-assign]
    for entry in entries.values():
        world.change(entry)
    world.put(_refund("CREDIT")).run()
    (note,) = map(world.xero.show, world.xero.credit_notes.values())
    assert (note["Status"], [str(a["Amount"]) for a in note["Allocations"]]) == ("PAID", ["90.00"])
    assert [str(p["Amount"]) for p in note["Payments"]] == ["30.00"]
    assert world.entry(HOME)["status"] == "PAID"
