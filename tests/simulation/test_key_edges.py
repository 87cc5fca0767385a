"""An answer is lost, and Xero hears again of the document only after a while: at each edge there is one of it.

Xero forgets an Idempotency-Key 6 minutes after the first call; the sink repeats one for 4 minutes at most. The next
request that reaches Xero arrives exactly `age` seconds after the first: the network holds it back until then. (After a
day it is the first one after that: Xero has kept us out meanwhile, and we knock every half an hour.)
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import partial

import pytest

from connectors.xero.calls import Call
from tests.connectors.xero.commands import contact, sale, tender
from tests.simulation import judge
from tests.simulation.judge import Violation
from tests.simulation.run import Report, _settle
from tests.simulation.weather import Weather
from tests.simulation.workload import Order
from tests.simulation.world import World
from tests.simulation.xero import GIFT

AGES = {"3:59": 239.0, "4:01": 241.0, "5:59": 359.0, "6:00": 360.0, "6:01": 361.0, "10 min": 600.0, "1 day": 86_400.0}
_HELD = 55.0  # seconds for which the network may hold a request back: less than its deadline
_TAKES = 90.0  # seconds that a new owner waits before it reads back: lapse and deadline
WHOLE = [tender("30.00", 1, GIFT, "Card"), tender("90.00", 2)]
PART = WHOLE[:1]  # a part payment may double where one that leaves nothing due cannot; it ends with a letter


class Edge:
    """One order, and one write of it at which the answer is lost. `arrived`: when Xero had it."""

    def __init__(self, path: str, age: float, done: bool, **settings: float) -> None:
        self.path, self.age, self.done = path, age, done
        self.arrived: float | None = None
        self.again: float | None = None
        made = Weather(0, "edge", hosts=2, orders=0, storm=0.0, spread=0.0, latency=0.2, shuffled=False)
        made.settings = made.settings.model_copy(update={"auth_retry": 1800.0, **settings})
        self.world = World(made)
        self.world.call_fault = self.fault  # type: ignore[method-assign]
        self.world.call_delay = self.delay  # type: ignore[method-assign]
        self._crash = False

    def fault(self, org: str, call: Call) -> str:
        """What the network does to the call that leaves now."""
        now = self.world.loop.now
        if self.arrived is None:
            if not (call.writes and call.path == self.path):
                return ""
            self.arrived = now
            if self._crash:
                process = self.world.group.owners[org].process
                self.world.loop.after(1.0, partial(self.world.crash, process, "answer lost"))
            return "answer_lost" if self.done else "request_lost"
        due = self.arrived + self.age
        if self.again is None and now < due - _HELD:
            return "403" if self.age > 3600 else "refused"
        self.again = self.again or max(now, due)
        return ""

    def delay(self, way: float) -> float:
        """How long it is on its way: the first no time, the next until the edge."""
        if self.again is None:
            return 0.0
        held = (self.arrived or 0.0) + self.age - self.world.loop.now
        return held if 0.0 < held < _HELD else way

    def run(self, *, new_owner: bool) -> None:
        world, self._crash = self.world, new_owner
        if new_owner:  # the next owner comes so late that its read-back leaves just before the edge
            world.group.left = lambda process: world.group.give("uk", max(1.0, self.age - _TAKES - 20.0))  # type: ignore[method-assign]
        world.begin()
        payments = PART if self.path == "Payments" else WHOLE
        command = sale(1, who=contact(7, email="a@x.uk"), payments=payments)
        order = world.workload.orders["uk", "shop|1"] = Order(
            "uk", "shop|1", "W-1", "shop|C7", "" if payments == WHOLE else "paid in part"
        )
        world.workload.numbers["uk", "W-1"] = order
        world.workload.send("uk", command)
        report = Report(0, "edge")
        assert _settle(world, report, patience=3 * 86_400.0), report.violations
        assert self.again is not None
        assert list(world.ends.judge()) == []


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("new_owner", [False, True], ids=["same owner", "new owner"])
@pytest.mark.parametrize("path", ["Contacts", "Invoices", "Payments"])
@pytest.mark.parametrize("age", AGES.values(), ids=AGES)
def test_there_is_one_document_of_each_at_every_edge(age: float, path: str, new_owner: bool, done: bool) -> None:
    edge = Edge(path, age, done)
    edge.run(new_owner=new_owner)
    books, part = edge.world.xero.books["uk"], path == "Payments"
    status, due, paid = ("AUTHORISED", "90.00", PART) if part else ("PAID", "0.00", WHOLE)
    assert [c.number for c in books.contacts.values() if c.number == "WC7"] == ["WC7"]
    assert [(d.number, d.status, d.outstanding) for d in books.invoices.values()] == [("W-1", status, Decimal(due))]
    assert sorted(p.amount for p in books.payments.values()) == [Decimal(one["amount"]) for one in paid]
    codes = [r["error_code"] for told in edge.world.judge.results.values() for r in told if r["error_code"]]
    assert codes == (["not_fully_paid"] if part else [])


@pytest.mark.parametrize("age", [AGES["6:00"], AGES["6:01"], AGES["10 min"]])
def test_a_key_that_is_trusted_longer_than_xero_keeps_it_would_double_a_part_payment(
    age: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edges are real: without the sink's own limit of 4 minutes they are crossed, and the judge says so."""
    monkeypatch.setattr(judge, "_KEY_LIFE", math.inf)  # else the repeat itself is what it says
    with pytest.raises(Violation, match="once in Xero"):
        Edge("Payments", age, done=True, same_key_window=3600.0).run(new_owner=False)
