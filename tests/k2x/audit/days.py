"""A day's summary of three orders as the audit sees it: posted and paid in every respect, to be spoiled by a test.

Orders 1, 2 and 3 of 24.00 with 4.00 tax: goods on 200, of the third a part on 210; 1 and 2 were paid on 092, 3 by a
gift card of 4.00 on 855 as well. The summary of refunds gives 6.00 of order 1 back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from k2x.audit.documents import CreditNote, Invoice, Payment
from k2x.audit.facts import AccountSum, CommandSeen, EntrySeen, OrderSeen, PartSeen, ResultSeen, TenderSeen
from tests.k2x.audit.files import BACK, BACK_TAX, DAY, NEXT_DAY, T0, TAX, TOTAL, command, minute, result, seen, told

SUMMARY = "emea|GoatUK/S20261124-GBP"
NUMBER = "UK-S20261124-GBP"
BACKS = "emea|GoatUK/R20261125-GBP"
BACKS_NUMBER = "CN-UK-S20261125-GBP"
CLOSES = T0 + timedelta(minutes=10)
CARD = Decimal("4.00")
NET = TOTAL - TAX


def parts(number: int) -> tuple[AccountSum, ...]:
    if number < 3:
        return (AccountSum("200", "OUTPUT2", NET, 1, TAX),)
    return (
        AccountSum("200", "OUTPUT2", Decimal("15.00"), 1, Decimal("3.00")),
        AccountSum("210", "OUTPUT2", Decimal("5.00"), 1, Decimal("1.00")),
    )


def tenders(number: int) -> tuple[TenderSeen, ...]:
    if number < 3:
        return (TenderSeen(1, "092", "", TOTAL),)
    return TenderSeen(1, "855", "", CARD), TenderSeen(2, "092", "", TOTAL - CARD)


@dataclass(frozen=True)
class Sold:
    """One order's facts."""

    number: int

    @property
    def key(self) -> str:
        return f"emea|{self.number}"

    def seen(self, **changes: Any) -> OrderSeen:
        return seen(key=self.key, order_id=str(self.number), **changes)

    def command(self, **changes: Any) -> CommandSeen:
        gross = tuple(AccountSum(x.account, x.tax_type, x.amount + x.tax, 1) for x in parts(self.number))
        made = command(
            key=self.key, number=f"UK-{self.number}", reference=str(self.number), offset=self.number, sums=gross,
            hash=f"h{self.number}", tenders=tenders(self.number), part=PartSeen(NUMBER, CLOSES, parts(self.number)),
        )  # fmt: skip
        return replace(made, **changes)

    def entry(self, **changes: Any) -> EntrySeen:
        made = EntrySeen(
            self.key, f"{self.key}|invoice|0", "uk", "order", 0, "POSTED", "i-s", NUMBER, "PAID", f"h{self.number}",
            T0, TOTAL, TAX, "GBP", "c-web", updated_at=T0, summary=SUMMARY,
        )  # fmt: skip
        return replace(made, **changes)

    def collected(self, **changes: Any) -> EntrySeen:
        return self.entry(
            **{"state": "COLLECTED", "xero_id": "", "status": "", "contact_id": "", "holds": 1, **changes}
        )

    def member(self, summary: str = SUMMARY, number: str = NUMBER, **changes: Any) -> EntrySeen:
        made = EntrySeen(
            self.key, f"{summary}|member|{self.key}", "uk", "member", 0, "POSTED", "i-s", number, "", "", T0, TOTAL,
            TAX, "GBP", summary=summary,
        )  # fmt: skip
        return replace(made, **changes)

    def result(self, outcome: str = "POSTED", **changes: Any) -> ResultSeen:
        return result(outcome, **{"key": self.key, "number": NUMBER, "received_at": None, **changes})


FIRST, SECOND, THIRD = Sold(1), Sold(2), Sold(3)


def home(**changes: Any) -> EntrySeen:
    """The summary's own entry: posted."""
    made = EntrySeen(
        SUMMARY, f"{SUMMARY}|invoice|0", "uk", "invoice", 0, "POSTED", "i-s", NUMBER, "PAID", "hs", T0, TOTAL * 3,
        TAX * 3, "GBP", "c-web", updated_at=T0, phase="posted", members=3, closes_at=CLOSES,
    )  # fmt: skip
    return replace(made, **changes)


def opened(**changes: Any) -> EntrySeen:
    """The same, still taking orders."""
    waiting: dict[str, Any] = {"state": "WAITING", "xero_id": "", "status": "", "phase": "open", "retry_at": CLOSES}
    return home(**{**waiting, "total": None, "total_tax": None, "hash": "", "version": None, "holds": 0, **changes})


def payment_entry(ordinal: int, amount: Decimal) -> EntrySeen:
    own = f"{SUMMARY}|payment|{ordinal}"
    return EntrySeen(
        SUMMARY, own, "uk", "payment", ordinal, "POSTED", f"p-{ordinal}", f"{NUMBER}/{ordinal}", "AUTHORISED", "", None,
        amount, None, "GBP",
    )  # fmt: skip


def paid(ordinal: int, amount: Decimal, account: str, **changes: Any) -> Payment:
    made = Payment("uk", f"p-{ordinal}", "i-s", f"{NUMBER}/{ordinal} 3 orders", amount, account=account, updated_at=T0)
    return replace(made, **changes)


BY_CARD = TOTAL * 3 - CARD
PAYMENTS = (paid(1, BY_CARD, "092"), paid(2, CARD, "855"))


def document(**changes: Any) -> Invoice:
    """Xero's summary."""
    made = Invoice(
        "uk", "i-s", NUMBER, "3 orders", "PAID", "GBP", TOTAL * 3, TAX * 3, Decimal(0), "c-web", DAY, PAYMENTS,
        Decimal(0),
        (
            AccountSum("200", "OUTPUT2", Decimal("55.00"), 1, Decimal("11.00")),
            AccountSum("210", "OUTPUT2", Decimal("5.00"), 1, Decimal("1.00")),
        ),
        T0,
    )  # fmt: skip
    return replace(made, **changes)


def own_invoice(**changes: Any) -> Invoice:
    """An order's invoice of its own, which should not be."""
    made = Invoice(
        "uk", "i-1", "UK-1", "1", "AUTHORISED", "GBP", TOTAL, TAX, TOTAL, "c-1", DAY, (), Decimal(0),
        (AccountSum("200", "OUTPUT2", NET, 1, TAX),), T0,
    )  # fmt: skip
    return replace(made, **changes)


@dataclass
class Day:
    """Everything of the day; a test takes out, puts in or changes."""

    facts: list[Any]
    invoices: list[Invoice]
    payments: list[Payment]
    credits: list[CreditNote]

    def without(self, *facts: Any) -> Day:
        left = [one for one in self.facts if one not in facts]
        assert len(left) == len(self.facts) - len(facts), "what is taken out was there"
        return replace(self, facts=left)

    def instead(self, old: Any, *new: Any) -> Day:
        changed = self.without(old)
        return replace(changed, facts=[*changed.facts, *new])

    def xero(self, *invoices: Invoice, payments: Iterable[Payment] | None = None) -> Day:
        return replace(self, invoices=list(invoices), payments=self.payments if payments is None else list(payments))


def day() -> Day:
    """Posted, with which all is well."""
    facts: list[Any] = [home(), payment_entry(1, BY_CARD), payment_entry(2, CARD)]
    for one in (FIRST, SECOND, THIRD):
        facts += [one.seen(), one.command(), one.entry(), one.member(), one.result("WAITING"), one.result()]
    return Day(facts, [document()], list(PAYMENTS), [])


def open_day() -> Day:
    """Collected, and nothing yet in Xero."""
    facts: list[Any] = [opened()]
    for one in (FIRST, SECOND, THIRD):
        facts += [one.seen(), one.command(), one.collected(), one.member(state="COLLECTED"), one.result("WAITING")]
    return Day(facts, [], [], [])


# -- refunds ----------------------------------------------------------------------------------------------------


def given_back() -> Day:
    """The same, with 6.00 of the first order given back in the next day's credit note."""
    made = day()
    net = BACK - BACK_TAX
    event = told(10, key=FIRST.key, order_id="1")
    refund = replace(
        FIRST.command(), kind="REFUND", version=minute(10), observed_at=minute(10), at=minute(10), id="back 10",
        offset=9, number="CN-UK-1-r1", refund="r1", date=NEXT_DAY, total=BACK, tax=BACK_TAX, hash="", reference="",
        sums=(AccountSum("200", "OUTPUT2", BACK, 1),), tenders=(TenderSeen(1, "092", "", BACK),),
        part=PartSeen(BACKS_NUMBER, CLOSES, (AccountSum("200", "OUTPUT2", net, 1, BACK_TAX),)),
    )  # fmt: skip
    entry = EntrySeen(
        FIRST.key, f"{FIRST.key}|credit_note|r1", "uk", "order_refund", 0, "POSTED", "cn-s", BACKS_NUMBER, "PAID", "",
        minute(10), BACK, BACK_TAX, "GBP", "c-web", updated_at=minute(10), summary=BACKS,
    )  # fmt: skip
    member = EntrySeen(
        FIRST.key, f"{BACKS}|member|{FIRST.key}|r1", "uk", "member", 0, "POSTED", "cn-s", BACKS_NUMBER, "", "", None,
        BACK, BACK_TAX, "GBP", summary=BACKS,
    )  # fmt: skip
    own = EntrySeen(
        BACKS, f"{BACKS}|invoice|0", "uk", "summary", 0, "POSTED", "cn-s", BACKS_NUMBER, "PAID", "", None, BACK,
        BACK_TAX, "GBP", "c-web", phase="posted", members=1, closes_at=CLOSES,
    )  # fmt: skip
    note_entry = replace(own, ledger_key=f"{BACKS}|credit_note|day", kind="credit_note", phase="", members=None)
    money = replace(
        own, ledger_key=f"{BACKS}|refund|day/1", kind="refund", ordinal=1, xero_id="rp-1", number=f"{BACKS_NUMBER}/1",
        phase="", total_tax=None,
    )  # fmt: skip
    answer = result("POSTED", 10, key=FIRST.key, kind="order_refund", command_id="back 10", number=BACKS_NUMBER)
    unchanged = result("UNCHANGED", 10, key=FIRST.key, number=NUMBER)
    made.facts += [event, refund, entry, member, own, note_entry, money, answer, unchanged]
    back = Payment("uk", "rp-1", "cn-s", f"{BACKS_NUMBER}/1 1 orders", BACK, account="092", updated_at=T0)
    made.payments.append(back)
    note = CreditNote(
        "uk", "cn-s", BACKS_NUMBER, BACKS_NUMBER, "PAID", "GBP", BACK, BACK_TAX, Decimal(0), "c-web", NEXT_DAY, (back,),
        Decimal(0), (AccountSum("200", "OUTPUT2", net, 1, BACK_TAX),), T0,
    )  # fmt: skip
    made.credits.append(note)
    return made


def later(hours: float) -> datetime:
    return CLOSES + timedelta(hours=hours)
