"""What a shop sends in a run: orders with gift cards and versions, deletions, customers, items, its gateway's
settlements, some of them wrong.

Each record has a command_id of its own, so that the judge can ask of every single one what became of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, cast

from connectors.xero.core.events import Letter
from schemas.types import Command, Contact, Tender
from tests.connectors.xero.commands import (
    T0,
    contact,
    contact_command,
    envelope,
    item_command,
    refund,
    sale,
    settlement,
    tender,
)
from tests.connectors.xero.core.world import CODEC
from tests.simulation.broker import Stored
from tests.simulation.summaries import Days
from tests.simulation.xero import ARCHIVED, DROPPED, GIFT, NO_PAYMENTS, account_id

if TYPE_CHECKING:
    from tests.simulation.world import World

# What is wrong with an order from the start; each ends in a letter.
TROUBLES = ("account_archived", "account_unknown", "account_dropped", "tax", "payment_account", "number_twice")
_AGAIN = re.compile(r"-R\d+$")  # what the number of an invoice has that was issued anew
_TOTALS = ("120.00", "60.00", "12.00", "36.00", "0.00", "1234.56")
_CODES = ("A", "B", "C")


@dataclass(slots=True)
class Record:
    """One record of the command topic. `again`: sent a second time at the end, when nothing may be written any more."""

    id: str
    org: str
    command: Command
    stored: Stored | None = None
    again: bool = False


@dataclass(slots=True)
class Order:
    """What the judge has to know of an order."""

    org: str
    key: str  # instance|OrderID
    number: str
    customer: str  # the contact's ledger key
    trouble: str = ""
    records: list[Record] = field(default_factory=list)
    day: str = ""  # of its summary
    unpaid: bool = False  # but for its payments it is sound, and it is refunded or deleted
    touched: str = ""  # what people did to it, or to its customer, in Xero

    @property
    def cancelled(self) -> bool:
        return any(record.command["kind"] == "CANCEL" for record in self.records)


class Workload:
    """The records of a run; `orders` and `records` are what has been sent so far."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = Random(f"workload {world.weather.seed}")
        self.days = Days(world)
        self.orders: dict[tuple[str, str], Order] = {}  # by org and key
        self.numbers: dict[tuple[str, str], Order] = {}  # by org and number
        self.records: dict[str, Record] = {}
        self.ids: dict[tuple[str, int], str] = {}  # by org and offset; junk has none
        self.customers: dict[str, dict[int, list[Contact]]] = {}
        self.to_come = 0  # commands that the shop has still to send
        self._serial = 0

    def begin(self) -> None:
        """Commands come over the weather's spread, in an order of their own."""
        for org in self.world.weather.orgs:
            self._customers(org)
            self._old_books(org)
            commands: list[tuple[float, Command]] = []
            for number in range(1, self.world.weather.orders + 1):
                commands += self._order(org, number)
            commands += self._others(org)
            commands += self._settlements(org)
            self.to_come += len(commands)
            for at, command in commands:
                self.world.loop.at(at, partial(self._send_first, org, command))
            if self.random.random() < 0.2:
                self.world.loop.at(self._when(), partial(self._send_junk, org))

    def _send_first(self, org: str, command: Command) -> None:
        self.to_come -= 1
        self.send(org, command)

    def send(self, org: str, command: Command, *, again: bool = False) -> None:
        """Onto the topic, as a record of its own."""
        self._serial += 1
        one = cast(Command, {**command, "command_id": f"{command['key']}@{self._serial}"})
        record = Record(one["command_id"], org, one, again=again)
        headers = (("x-replay-count", b"1"),) if self.random.random() < 0.1 else ()
        record.stored = self.world.broker.put(org, one["key"].encode(), CODEC.encode("command", one), headers)
        self.records[record.id] = record
        self.ids[org, record.stored.offset] = record.id
        order = self.orders.get((org, one["key"]))
        if order is not None:
            order.records.append(record)
        self.world.say("shop", "sends {} at offset {}", one["command_id"], record.stored.offset)
        self._wake(org)

    def redrive(self, org: str, letter: Letter) -> None:
        """A dead letter's record once more, as `k2x dlt redrive` sends it."""
        assert letter.key is not None
        stored = self.world.broker.put(org, letter.key, letter.value, (("x-replay-count", b"1"),))
        id_ = CODEC.decode(letter.value)["command_id"]
        self.world.office.again.add((org, stored.offset))
        if id_ in self.records:  # else a summary's own command
            self.ids[org, stored.offset] = id_
            self.world.judge.rereads[id_] = self.world.judge.rereads.get(id_, 0) + 1
        self.world.say("shop", "redrives {} at offset {}", id_, stored.offset)
        self._wake(org)

    def order_of(self, org: str, number: str) -> Order | None:
        """Whose invoice has this number, the first one or one that was issued anew."""
        return self.numbers.get((org, number)) or self.numbers.get((org, _AGAIN.sub("", number)))

    def reissues(self, org: str) -> bool:
        """The rule of this organisation's store: an order whose money changed is credited and issued anew."""
        return Random(f"reissue {self.world.weather.seed} {org}").random() < 0.6

    def send_all_again(self) -> None:
        """A replay of everything that was ever sent."""
        for record in list(self.records.values()):
            self.send(record.org, record.command, again=True)

    def _wake(self, org: str) -> None:
        owner = self.world.group.owners.get(org)
        if owner is not None and owner.process.alive:
            owner.process.later(0.001, owner.pump)

    def _send_junk(self, org: str) -> None:
        value = self.random.choice((b"junk", b"", b"\x00\x00\x00\x00\x63nothing"))
        self.world.broker.put(org, b"k", value)
        self._wake(org)

    # -- who buys -----------------------------------------------------------------------------------------------

    def _customers(self, org: str) -> None:
        random, count = self.random, max(3, self.world.weather.orders // 3)
        names = [f"Customer {n}" for n in range(count)] + ["Ann Smith"] * 3  # three have one name
        mails = [f"c{n}@x.uk" for n in range(count)] + ["same@x.uk"] * 2 + [None] * 3
        people = self.customers[org] = {}
        for number in range(count):
            who = contact(number, random.choice(names), random.choice(mails))
            if random.random() < 0.2:  # a guest: numbered by his e-mail
                who = {**who, "key": f"shop|G{number}", "number": f"WG{number}"}
                who["document"] = who["document"].replace(f'"WC{number}"', f'"WG{number}"')
            people[number] = [who]

    def _old_books(self, org: str) -> None:
        """Xero is not empty: some customers are there by number, e-mail or only by name."""
        for who in self.customers[org].values():
            chance = self.random.random()
            if chance < 0.1:
                self.world.hands.contact(org, f"Old {who[0]['number']}", number=who[0]["number"])
            elif chance < 0.2 and who[0]["email"]:
                self.world.hands.contact(org, f"Mail of {who[0]['number']}", email=who[0]["email"])
            elif chance < 0.3:
                self.world.hands.contact(org, who[0]["name"])

    # -- what they buy ------------------------------------------------------------------------------------------

    def _when(self) -> float:
        return self.random.uniform(0.0, self.world.weather.spread)

    def _order(self, org: str, number: int) -> list[tuple[float, Command]]:
        random, weather = self.random, self.world.weather
        who = self.customers[org][random.randrange(len(self.customers[org]))][0]
        trouble = random.choice(TROUBLES) if random.random() < weather.trouble else ""
        changes: dict[str, Any] = {"on_other_money": "REISSUE" if self.reissues(org) else "HOLD"}
        day = self.days.day() if self.days.takes() else ""
        if day or (trouble == "number_twice" and number > 1 and self.orders[org, f"shop|{number - 1}"].day):
            trouble = ""  # an account that is wrong would be found before the command is made
        if trouble == "number_twice" and number > 1:
            changes["number"] = f"w-{number - 1}"
            before = self.orders[org, f"shop|{number - 1}"]
            before.trouble = before.trouble or "number_twice"
        total = random.choice(_TOTALS)
        if trouble and total == "0.00":
            total = "12.00"
        unpaid = not (trouble or day or total == "0.00") and self.world.undone.takes(org, number)
        trouble = "payment_account" if unpaid else trouble
        first = self._sale(org, number, 0, total, who, trouble, changes)
        order = Order(org, first["key"], str(cast(Mapping[str, Any], first["body"])["number"]), who["key"], trouble)
        order.day, order.unpaid = day, unpaid
        self.orders[org, order.key] = order
        self.numbers.setdefault((org, order.number), order)
        sent = [first]
        while random.random() < weather.versions:
            version = random.choice((0, 1, 2, 3))
            other = random.choice(_TOTALS[:3]) if random.random() < 0.3 else total
            sent.append(self._sale(org, number, version, other, who, trouble, changes))
        sent += self._edits(org, number, total, who, trouble, changes)
        if random.random() < weather.cancels:
            sent.append(
                envelope("CANCEL", first["key"], None, org=org, order=str(number), version=random.choice((0, 5)))
            )
        if random.random() < weather.refunds:
            sent += self._refunds(org, number, total, "" if unpaid else trouble)
        if unpaid:
            sent += self.world.undone.commands(org, number, total)
        sent = [self.world.undone.ruled(one) for one in sent]
        if day:
            sent = [self.days.put(one, day) if one["kind"] != "CANCEL" else one for one in sent]
        if random.random() < 0.15:
            random.shuffle(sent)
        begin = self._when()
        later = weather.spread * random.choice((0.0, 0.05, 0.5))
        # Mostly in their order, sometimes an older one after a newer one, or the deletion first.
        times = [begin + later * random.random() * (index > 0) for index in range(len(sent))]
        return list(zip(times, sent, strict=True))

    def _edits(
        self, org: str, number: int, total: str, who: Contact, trouble: str, changes: dict[str, Any]
    ) -> list[Command]:
        """Where orders are issued anew, one in four is edited once more or twice."""
        random = Random(f"edits {self.world.weather.seed} {org} {number}")
        if not self.reissues(org) or random.random() >= self.world.weather.edits:
            return []
        totals = [random.choice([one for one in _TOTALS[:4] if one != total]) for _ in range(random.choice((1, 1, 2)))]
        return [self._sale(org, number, 6 + at, other, who, trouble, changes) for at, other in enumerate(totals)]

    def _sale(
        self, org: str, number: int, version: int, total: str, who: Contact, trouble: str, changes: dict[str, Any]
    ) -> Command:
        tax = (Decimal(total) - (Decimal(total) / Decimal("1.2")).quantize(Decimal("0.01"))).quantize(Decimal("0.01"))
        # What Xero computes: the tax contained in a line is line - round(line / 1.2).
        account = {"account_archived": ARCHIVED, "account_unknown": "999", "account_dropped": DROPPED}.get(
            trouble, "200"
        )
        wrong = Decimal("0.01") if trouble == "tax" else Decimal(0)
        return sale(
            number, org=org, version=version, total=total, tax=str(tax - wrong), who=who, account=account,
            payments=self._tenders(number, total, trouble), **changes,
        )  # fmt: skip

    def _refunds(self, org: str, number: int, total: str, trouble: str) -> list[Command]:
        """One or two of an order, mostly of a part of it, now and then sent twice or of too much."""
        random, found = self.random, list[Command]()
        for ordinal in range(random.choice((1, 1, 2))):
            amount = random.choice(("5.00", "6.00", "12.00", total))
            if amount == "0.00":
                continue
            tax = Decimal(amount) - (Decimal(amount) / Decimal("1.2")).quantize(Decimal("0.01"))
            back = [tender(str(Decimal(amount) / 2), 1, GIFT, "Card"), tender(str(Decimal(amount) / 2), 2)]
            one = refund(
                number, f"r{ordinal}", org=org, version=random.choice((0, 4, 6)), total=amount, tax=str(tax),
                payments=back if random.random() < 0.3 else None,
                account=ARCHIVED if trouble and random.random() < 0.5 else "200",
            )  # fmt: skip
            found += [one] * random.choice((1, 1, 1, 2))
        return found

    def _tenders(self, number: int, total: str, trouble: str) -> list[Tender]:
        """None for nothing, one, or gift cards before the gateway; the same for all versions of an order's money."""
        if total == "0.00":
            return []
        account = NO_PAYMENTS if trouble == "payment_account" else "092"
        whole, cards = Decimal(total), Random(f"{number} {total}").choice((0, 0, 0, 1, 1, 2))
        card = (whole / 4).quantize(Decimal("0.01"))
        parts = [tender(str(card), ordinal + 1, GIFT, "Card") for ordinal in range(cards)]
        return [*parts, tender(str(whole - card * cards), cards + 1, account)]

    def _others(self, org: str) -> list[tuple[float, Command]]:
        """Changes of customers and products, and refunds of nothing."""
        random, found = self.random, list[tuple[float, Command]]()
        for number, known in self.customers[org].items():
            if random.random() < 0.3:
                for version in range(1, random.choice((2, 2, 3))):
                    changed = contact(number, known[0]["name"], f"new{version}.{number}@x.uk")
                    at = T0.replace(second=version)
                    who = cast(
                        Contact, {**changed, "key": known[0]["key"], "number": known[0]["number"], "version": at}
                    )
                    who["document"] = who["document"].replace(f'"WC{number}"', f'"{who["number"]}"')
                    who["only_if_known"] = random.random() < 0.7
                    found.append((self._when(), contact_command(who, org=org, version=version)))
        for code in _CODES:
            if random.random() < 0.3:
                for version in range(1, random.choice((2, 3))):
                    command = item_command(code, f"{version}.99", org=org, version=version, known=random.random() < 0.3)
                    found.append((self._when(), command))
        if random.random() < 0.1:  # a mistaken writer's, and one of an order that never comes
            found.append((self._when(), envelope("REFUND", "shop|R1", None, org=org, order="R1")))
            found.append((self._when(), refund(9999, org=org)))
        return found

    def _settlements(self, org: str) -> list[tuple[float, Command]]:
        """What the gateway pays out: mostly one thing, now and then sent again, or as something else under its id; some
        that Xero refuses; all of a day or two, so that they stand beside each other when they are looked for."""
        random = Random(f"settlements {org} {self.world.weather.seed}")
        found = list[tuple[float, Command]]()
        spread = self.world.weather.spread
        for number in range(self.world.weather.settlements):
            payout, fees = random.choice((("96.90", "3.10"), ("50.00", "0"), ("-8.00", "12.00"), ("0", "7.50")))
            ends = {"clearing": account_id("092"), "bank": account_id("090")}
            account = ARCHIVED if random.random() < 0.1 and fees != "0" else "404"
            date = random.choice(("2026-11-22", "2026-11-23"))
            one = settlement(f"po_{number}", org=org, payout=payout, fees=fees, fee_account=account, date=date, **ends)
            sent = [one] * random.choice((1, 1, 2))
            if random.random() < 0.2:
                other = settlement(f"po_{number}", org=org, payout="61.00", fees="9.00", fee_account=account, **ends)
                sent.append(other)
            found += [(random.uniform(0.0, spread), command) for command in sent]
        return found
