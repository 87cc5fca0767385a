"""Blocked orders against a model: whatever waits blocks its own order only, and no version overtakes an earlier one.

Records of several versions of few orders, answers of every kind, orders that Xero refuses to show for an hour, crashes
and aborted transactions. The model is the log itself: each record ends once, in its order's order, and every one ends.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connectors.xero.calls import Answer, Call
from connectors.xero.core.events import Send
from connectors.xero.core.records import invoice_key
from schemas.types import Command, Result
from tests.connectors.xero.commands import sale, tender
from tests.connectors.xero.core.paper_xero import HEADERS
from tests.connectors.xero.core.world import FAULTS, World
from tests.depth import examples

HOUR = 3600.0
FEW = 4  # orders whose versions follow one another
FREE = 240.0  # seconds in which an order that nothing blocks ends, though its batch meets one that is
SUPERSEDED = "a newer version of the order came before it was its turn"


@dataclass
class Asked:
    """A record of the log and what has become of it."""

    offset: int
    order: str
    command: Command
    ends: list[Result]

    @property
    def age(self) -> tuple[object, object]:
        return self.command["version"], self.command["observed_at"]


class OrdersMachine(RuleBasedStateMachine):
    @initialize(
        seed=st.integers(0, 99), aborts=st.sampled_from([0.0, 0.0, 0.3]), latency=st.sampled_from([0.05, 0.3, 4.0])
    )
    def begins(self, seed: int, aborts: float, latency: float) -> None:
        self.world = World(seed=seed, abort_rate=aborts, latency=latency)
        self.world.xero.bad_accounts.add("999")
        self.hidden: dict[str, float] = {}  # numbers that Xero does not show, and until when
        self._hide()
        self.world.on_send = self._intended
        self.asked: dict[str, Asked] = {}  # by command_id
        self.heard = 0
        self.fresh = 1000
        self.world.start().run(60, until=lambda: False)

    def _intended(self, send: Send) -> None:
        assert not send.call.writes or send.call.idempotency_key in self.world.intended

    def _hide(self) -> None:
        do, fault = self.world.xero.do, self.world._fault

        def hiding(call: Call, now: float) -> Answer:
            if call.purpose == "read_back" and self._hidden_in(dict(call.query).get("InvoiceNumbers", "").split(",")):
                self.world.xero.calls.append(call)
                return Answer(400, HEADERS, None, detail="no", token_id="t")
            return do(call, now)

        def failing(call: Call) -> str:
            body = (call.body or b"").decode()
            if (
                call.path == "Invoices"
                and call.writes
                and self._hidden_in([n for n in self.hidden if f'"{n}"' in body])
            ):
                return "500_after"
            return fault(call)

        self.world.xero.do = hiding  # type: ignore[method-assign]
        self.world._fault = failing  # type: ignore[method-assign]

    def _hidden_in(self, numbers: list[str]) -> bool:
        return any(self.hidden.get(number, 0.0) > self.world.mono for number in numbers)

    # -- what happens -------------------------------------------------------------------------------------------

    def _put(self, order: int, **changes: object) -> Asked:
        command = sale(order, **changes)  # type: ignore[arg-type]
        offset = len(self.world.log)
        command["command_id"] = f"r{offset}"
        asked = self.asked[command["command_id"]] = Asked(offset, str(order), command, [])
        self.world.put(command)
        return asked

    @rule(
        order=st.integers(0, FEW - 1),
        versions=st.lists(st.integers(0, 5), min_size=1, max_size=4),
        total=st.sampled_from(["120.00", "120.00", "60.00"]),
        account=st.sampled_from(["200", "200", "200", "999"]),
        split=st.booleans(),
    )
    def versions_come(self, order: int, versions: list[int], total: str, account: str, split: bool) -> None:
        tax = str((Decimal(total) / 6).quantize(Decimal("0.01")))
        parts = [tender("20.00", 1, "855"), tender(str(Decimal(total) - 20), 2)] if split else None
        for version in versions:
            self._put(order, customer=order % 2, version=version, total=total, tax=tax, account=account, payments=parts)

    @rule(fault=st.sampled_from(FAULTS), further=st.integers(1, 3))
    def a_write_meets(self, fault: str, further: int) -> None:
        self.world.faults[self.world.writes + further] = fault

    @rule(order=st.integers(0, FEW - 1), seconds=st.sampled_from([60.0, 900.0, HOUR]))
    def xero_hides(self, order: int, seconds: float) -> None:
        """Whatever is sent for this invoice ends in a 500, and its number cannot be read."""
        self.hidden[f"W-{order}"] = self.world.mono + seconds

    @rule(seconds=st.sampled_from([0.01, 0.5, 5.0, 70.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds, until=lambda: False)

    @precondition(lambda self: self.world.lane is not None)
    @rule()
    def the_owner_dies(self) -> None:
        self.world.crash()

    @precondition(lambda self: bool(self.hidden))
    @rule()
    def a_free_order_ends_though_others_wait(self) -> None:
        self.world.faults.clear()
        self.world.run(130, until=lambda: False)  # what keeps out the whole lane: an outage, a limit, a take-over
        self.fresh += 1
        free = self._put(self.fresh)
        self.world.run(FREE, until=lambda: any(r["command_id"] == free.command["command_id"] for r in self._ends()))
        self.read_the_results()
        assert [r["outcome"] for r in free.ends] == ["POSTED"], self.world.describe()

    def _ends(self) -> list[Result]:
        return [r for r in self.world.results[self.heard :] if r["kind"] == "order" and r["outcome"] != "WAITING"]

    # -- what must be true --------------------------------------------------------------------------------------

    @invariant()
    def read_the_results(self) -> None:
        """Each record ends once, and none that writes before the earlier ones of its order have ended."""
        ends, self.heard = self._ends(), len(self.world.results)
        for result in ends:
            asked = self.asked[result["command_id"]]
            assert not asked.ends, f"{result['command_id']} ends twice: {asked.ends[0]['outcome']}, {result['outcome']}"
            asked.ends.append(result)
            others = [other for other in self.asked.values() if other.order == asked.order and other is not asked]
            if result["message"] == SUPERSEDED:
                assert any(other.age >= asked.age for other in others)  # type: ignore[operator]
            else:
                earlier = [other.command["command_id"] for other in others if other.offset < asked.offset]
                assert all(self.asked[name].ends for name in earlier), f"{asked} overtakes one of {earlier}"

    @invariant()
    def the_offset_passes_only_what_is_in_the_ledger_or_told(self) -> None:
        told = {r["command_id"] for r in self.world.results if r["kind"] == "order"}
        assert all(f"r{offset}" in told for offset in range(self.world.offset))

    def teardown(self) -> None:
        """When the trouble is over everything ends, and Xero has of each order what its results say."""
        if not hasattr(self, "world"):
            return
        self.hidden.clear()
        self.world.faults.clear()
        self.world.calm()
        self.world.run(6 * HOUR)
        self.read_the_results()
        assert [name for name, asked in self.asked.items() if not asked.ends] == []
        posted = {a.order: a for a in self.asked.values() if a.ends[0]["outcome"] == "POSTED"}
        assert len(posted) == sum(1 for a in self.asked.values() if a.ends[0]["outcome"] == "POSTED"), "posted twice"
        invoices = Counter(i["InvoiceNumber"] for i in self.world.xero.invoices.values())
        assert invoices == Counter(f"W-{order}" for order in posted)
        for invoice in self.world.xero.invoices.values():
            shown = self.world.xero.show(invoice)
            assert str(shown["Total"]) == posted[shown["Reference"]].command["body"]["total"]  # type: ignore[index,typeddict-item]
            assert shown["Status"] == "PAID"
            entry = self.world.entry(invoice_key(f"shop|{shown['Reference']}"))
            assert (entry["state"], entry["status"], entry["xero_id"]) == ("POSTED", "PAID", shown["InvoiceID"])
            assert entry["intention"] is entry["command"] is None
        for asked in self.asked.values():
            first = posted.get(asked.order)
            if first is not None and asked.offset > first.offset and asked.age <= first.age:  # type: ignore[operator]
                assert asked.ends[0]["outcome"] == "UNCHANGED", "no older version changes what is posted"
        refused = [a for a in self.asked.values() if a.ends[0]["outcome"] in ("REFUSED", "HELD")]
        assert Counter(letter.value for letter in self.world.letters) == Counter(
            self.world.log[a.offset][1] for a in refused
        )


OrdersMachine.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=20)
TestOrdersMachine = OrdersMachine.TestCase
