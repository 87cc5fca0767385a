"""The operators a workflow may use, as data: what each does, its parameters, what it needs of earlier steps and gives.

streams.workflow binds each name to its pure function; a test holds the two lists equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["trigger", "gate", "lookup", "map", "validate", "post", "write_back"]


class Nothing(BaseModel):
    """Parameters of an operator that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TriggerWith(Nothing):
    """`events`: event types that start the flow; `*` stands for anything."""

    events: tuple[str, ...] = ("order.*",)


class DeletedWith(Nothing):
    """`then`: `cancel` tells the sink, which holds a posted order for a person, or voids its invoice if that is unpaid
    and the rule refunds.unpaid says so; `ignore` suppresses."""

    then: Literal["cancel", "ignore"] = "cancel"


class RefundWith(Nothing):
    """`then`: `post` makes the credit note, `hold` asks a person, `ignore` suppresses."""

    then: Literal["post", "hold", "ignore"] = "post"


class CompleteWith(Nothing):
    """Dates outside these are refused."""

    not_before_year: int = 2000
    days_ahead: int = 1


@dataclass(frozen=True, slots=True)
class Operator:
    """`needs` and `gives` name fields of the draft; a step whose needs no earlier step gives is refused on loading."""

    name: str
    kind: Kind
    does: str
    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    parameters: type[Nothing] = Nothing


def _op(
    name: str, does: str, needs: str = "", gives: str = "", parameters: type[Nothing] = Nothing
) -> tuple[str, Operator]:
    kind: Kind = name.partition(".")[0]  # type: ignore[assignment]  # the names below are the proof
    return name, Operator(name, kind, does, frozenset(needs.split()), frozenset(gives.split()), parameters)


OPERATORS: dict[str, Operator] = dict(
    (
        _op("trigger.order", "An order event of these types starts the flow", parameters=TriggerWith),
        _op("gate.deleted", "A deleted order goes to the sink as a cancellation", parameters=DeletedWith),
        _op("gate.refund", "An order with a refund goes on, or waits for a person", parameters=RefundWith),
        _op("gate.paid", "Only paid orders go on"),
        _op("gate.cutover", "Orders before the store's cut-over date stop here"),
        _op("gate.complete", "Orders without lines, customer or a sound date are refused", parameters=CompleteWith),
        _op("lookup.dates", "The order's day in the store's time zone, and when it is due", gives="date"),
        _op("lookup.currency", "Currency, its decimals, and the rate to the base currency", gives="currency"),
        _op("map.lines", "Items, options, bundles, discounts and shipping as invoice lines", "currency", "lines"),
        _op("lookup.items", "Each line's Xero item", "lines", "items"),
        _op("lookup.accounts", "Each line's account", "items", "accounts"),
        _op("lookup.tax", "Each line's rate, tax and TaxType, agreed with the tax charged", "accounts date", "tax"),
        _op("map.contact", "The contact and its document", gives="contact"),
        _op("map.invoice", "Number, reference and the invoice's document", "date tax", "invoice"),
        _op("map.payments", "One payment for each tender", "date currency", "payments"),
        _op("validate.accounts", "Accounts exist, are active and take revenue", "accounts"),
        _op("validate.tax_types", "Tax types are active, usable on the account, and of the rate charged", "tax"),
        _op("validate.items", "Item codes exist in Xero", "items"),
        _op("validate.tracking", "Tracking categories and options exist", "invoice"),
        _op("validate.currency", "The currency is enabled", "currency"),
        _op("validate.lock_dates", "The books are open on every date", "date payments"),
        _op("validate.lengths", "Texts and amounts fit Xero's limits", "invoice"),
        _op("validate.totals", "Xero will compute the order's total and tax, to the cent", "tax"),
        _op(
            "map.refund", "The credit note and the money back, of an order with a refund", "invoice payments", "refund"
        ),
        _op("post.sale", "The command: contact, invoice and payments", "contact invoice payments", "command"),
        _op("write_back.columns", "Results go to the columns that the store names"),
    )
)
