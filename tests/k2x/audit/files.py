"""One order's file as the audit sees it: posted and paid in every respect, to be spoiled by a test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from k2x.audit.case import Store
from k2x.audit.documents import CreditNote, Invoice, Payment
from k2x.audit.facts import (
    AccountSum,
    CommandSeen,
    EntrySeen,
    HintSeen,
    LetterSeen,
    OrderSeen,
    RefundSeen,
    ResultSeen,
    TenderSeen,
)
from k2x.audit.scratch import Dossier
from k2x.audit.standpoint import Standpoint

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = date(2026, 11, 24)
STORES = {"emea/GoatUK": Store("uk", "UK-")}
KEY = "emea|7"
BACK, BACK_TAX = Decimal("6.00"), Decimal("1.00")
TOTAL, TAX = Decimal("24.00"), Decimal("4.00")


def minute(number: int) -> datetime:
    return T0 + timedelta(minutes=number)


def seen(version: int = 0, total: str = "24.00", tax: str = "4.00", **changes: Any) -> OrderSeen:
    at = minute(version)
    made = OrderSeen(
        KEY, "emea/GoatUK", "7", at, at, at, "GBP", Decimal(total), Decimal(tax), Decimal(0), ordered_at=T0
    )
    return replace(made, **changes)


def command(version: int = 0, **changes: Any) -> CommandSeen:
    made = CommandSeen(
        KEY, "uk", "SALE", minute(version), minute(version), 0, minute(version), "emea/GoatUK", "UK-7", "h0", "7",
        DAY, "GBP", TOTAL, TAX, (AccountSum("200", "OUTPUT2", TOTAL, 2),), (TenderSeen(1, "092", "", TOTAL),),
    )  # fmt: skip
    return replace(made, **changes)


def result(outcome: str, version: int = 0, **changes: Any) -> ResultSeen:
    at = minute(version)
    return replace(ResultSeen(KEY, "order", outcome, "uk", at, at + timedelta(seconds=2), at, ""), **changes)


def letter(version: int | None = 0, error_class: str = "mapping", **changes: Any) -> LetterSeen:
    at = None if version is None else minute(version)
    made = LetterSeen(KEY, at, "uk", "emea/GoatUK", error_class, "c", "m", "h", "kentico.orders.v1-dlt", 0, 1)
    return replace(made, **changes)


def hint(at: int = 0, **changes: Any) -> HintSeen:
    return replace(HintSeen(KEY, "emea/GoatUK", minute(at), 0, 5), **changes)


def entry(kind: str = "invoice", ordinal: int = 0, **changes: Any) -> EntrySeen:
    """The ledger's: PAID, or the payment of it."""
    own = {"invoice": ("i-7", "UK-7", "PAID"), "payment": ("p-7", f"UK-7/{ordinal}", "AUTHORISED")}
    xero_id, number, status = own[kind]
    made = EntrySeen(
        KEY, f"{KEY}|{kind}|{ordinal}", "uk", kind, ordinal, "POSTED", xero_id, number, status, "h0", T0, TOTAL,
        TAX if kind == "invoice" else None, "GBP", "c-1" if kind == "invoice" else "", updated_at=T0,
    )  # fmt: skip
    return replace(made, **changes)


def paid(**changes: Any) -> Payment:
    """As the invoice shows it: without its account."""
    return replace(Payment("uk", "p-7", "i-7", "UK-7/1 ch_1", TOTAL), **changes)


def listed(**changes: Any) -> Payment:
    """As the list of payments shows it."""
    return paid(**{"account": "092", "account_id": "a-092", "updated_at": T0, **changes})


def invoice(**changes: Any) -> Invoice:
    made = Invoice(
        "uk", "i-7", "UK-7", "7", "PAID", "GBP", TOTAL, TAX, Decimal(0), "c-1", DAY, (paid(),), Decimal(0),
        (AccountSum("200", "OUTPUT2", TOTAL, 2),), T0,
    )  # fmt: skip
    return replace(made, **changes)


def unpaid(**changes: Any) -> Invoice:
    """With its payment gone."""
    return invoice(**{"status": "AUTHORISED", "amount_due": TOTAL, "payments": (), **changes})


def copy(**changes: Any) -> Invoice:
    """Another living invoice of the same sale."""
    return unpaid(**{"id": "i-8", "number": "UK-7-COPY", **changes})


def file(**changes: Any) -> Dossier:
    """A posted order with which all is well."""
    made = Dossier(
        KEY,
        orders=(seen(),),
        commands=(command(),),
        results=(result("POSTED"),),
        entries=(entry(), entry("payment", 1)),
        invoices=(invoice(),),
        payments=(listed(),),
    )
    return replace(made, **changes)


def bare(**changes: Any) -> Dossier:
    """An order that came in, and nothing else."""
    return replace(Dossier(KEY, orders=(seen(),)), **changes)


# -- the same order with a part of it given back: refund r1, credit note CN-UK-7-r1 -------------------------------

NUMBER = "CN-UK-7-r1"
NEXT_DAY = DAY + timedelta(days=1)


def told(version: int = 10, amount: str = "6.00", id_: str = "r1", **changes: Any) -> OrderSeen:
    """The order's event with the refund."""
    return seen(version, refund=RefundSeen(id_, Decimal(amount), "GBP", minute(version)), **changes)


def back(version: int = 10, id_: str = "r1", **changes: Any) -> CommandSeen:
    made = CommandSeen(
        KEY, "uk", "REFUND", minute(version), minute(version), 2, minute(version), "emea/GoatUK", f"CN-UK-7-{id_}",
        "", "", NEXT_DAY, "GBP", BACK, BACK_TAX, (AccountSum("200", "OUTPUT2", BACK, 1),),
        (TenderSeen(1, "092", "", BACK),), f"back {version}", id_,
    )  # fmt: skip
    return replace(made, **changes)


def answer(outcome: str, version: int = 10, **changes: Any) -> ResultSeen:
    """The sink's word about all of the refund."""
    made = result(outcome, version, kind="order_refund", command_id=f"back {version}")
    return replace(made, **changes)


def refund_letter(version: int = 10, error_class: str = "validation", **changes: Any) -> LetterSeen:
    named: dict[str, Any] = {"refund": "r1", "topic": "xero.commands.uk.v1-dlt", **changes}
    return letter(version, error_class, **named)


def noted(kind: str = "credit_note", **changes: Any) -> EntrySeen:
    """The ledger's: the credit note, all of it given back, or the money back."""
    own = {
        "credit_note": ("r1", "cn-7", NUMBER, "PAID", BACK_TAX, "c-1"),
        "refund": ("r1/1", "rp-7", f"{NUMBER}/1", "AUTHORISED", None, ""),
    }
    tail, xero_id, number, status, tax, contact = own[kind]
    made = EntrySeen(
        KEY, f"{KEY}|{kind}|{tail}", "uk", kind, int(kind == "refund"), "POSTED", xero_id, number, status, "",
        minute(10), BACK, tax, "GBP", contact, updated_at=minute(10),
    )  # fmt: skip
    return replace(made, **changes)


def kept(**changes: Any) -> EntrySeen:
    """The ledger's, in which the refund's command waits."""
    made = EntrySeen(KEY, f"{KEY}|invoice|0|next|r1", "uk", "next", 0, "HELD", holds=2, updated_at=minute(10))
    return replace(made, **changes)


def returned(**changes: Any) -> Payment:
    """The money back, as the list of payments shows it."""
    made = Payment("uk", "rp-7", "cn-7", f"{NUMBER}/1 re_1", BACK, account="092", account_id="a-092", updated_at=T0)
    return replace(made, **changes)


def note(**changes: Any) -> CreditNote:
    made = CreditNote(
        "uk", "cn-7", NUMBER, NUMBER, "PAID", "GBP", BACK, BACK_TAX, Decimal(0), "c-1", NEXT_DAY, (returned(),),
        Decimal(0), (AccountSum("200", "OUTPUT2", BACK, 1),), T0,
    )  # fmt: skip
    return replace(made, **changes)


def open_note(**changes: Any) -> CreditNote:
    """With nothing given back."""
    return note(**{"status": "AUTHORISED", "amount_due": BACK, "payments": (), **changes})


def refunded(**changes: Any) -> Dossier:
    """A posted order, a part of which was given back, with which all is well."""
    made = file(
        orders=(seen(), told()),
        commands=(command(), command(10, offset=1), back()),
        results=(result("POSTED"), result("UNCHANGED", 10), answer("POSTED")),
        entries=(entry(), entry("payment", 1), noted(), noted("refund")),
        payments=(listed(), returned()),
        credits=(note(),),
    )
    return replace(made, **changes)


# An hour later, everything read and taken, five minutes' grace.
LATER = Standpoint(
    now=minute(60),
    grace=timedelta(minutes=5),
    lapse=timedelta(seconds=90),
    silence=timedelta(hours=26),
    read={0: 100},
    hinted={0: 100},
    taken={"uk": 100},
    lanes={"uk": minute(59)},
)
