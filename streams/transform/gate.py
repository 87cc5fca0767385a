"""When an order is posted (BOOKKEEPING §1): deleted, refunded, paid, cut-over, complete. Pure."""

from __future__ import annotations

from datetime import timedelta

from schemas.letters import ErrorClass
from schemas.types import Order
from streams.rules.operators import CompleteWith, DeletedWith, RefundWith
from streams.transform import command
from streams.transform.context import Draft
from streams.transform.dates import local_day
from streams.transform.errors import Refuse, Suppress, invalid
from streams.transform.refund import STATUS, of, was_paid


def deleted(draft: Draft, parameters: DeletedWith) -> None:
    """A deleted order: what was posted is the sink's to know, so it is told, and holds it for a person."""
    order = draft.order
    if not (order["deleted"] or order["event_type"] == "order.deleted"):
        return
    if parameters.then == "ignore":
        raise Suppress("deleted", f"{draft.who} was deleted in Kentico")
    draft.command = command.cancel(draft)


def refund(draft: Draft, parameters: RefundWith) -> None:
    """An order with a refund goes on, to be posted with it; or, by rule, a person makes the credit note."""
    refunded = of(draft.order, draft.store.rules.refunds.statuses)
    stated = draft.order["event_type"] != "order.refunded" or refunded is not None
    if stated and (refunded is None or parameters.then == "post"):
        draft.refund = refunded
        return
    what = (
        f"{refunded['amount'].normalize():f} (refund {refunded['refund_id']})" if refunded else "an amount not stated"
    )
    if parameters.then == "ignore":
        raise Suppress("refund_ignored", f"{draft.who}: a refund of {what} is ignored by the workflow")
    raise Refuse(
        ErrorClass.HELD,
        "refund_by_hand",
        f"{draft.who}: {what} was refunded",
        "Make the credit note in Xero, then `k2x dlt redrive --decision skip`.",
    )


def paid(draft: Draft) -> None:
    """Paid orders go on; an older failed result beside the flag is a finding."""
    statuses = draft.store.rules.paid.statuses
    why = unpaid_because(draft.order, statuses)
    if why is not None and draft.refund is None:
        raise Suppress("not_paid", f"{draft.who} is not paid: {why}")
    if why is not None and was_paid(draft.order, statuses):
        draft.findings.append(f"it was paid before it was refunded, though it is not marked so now: {why}")
    elif why is not None:
        _refund_of_unpaid(draft, why)
    result = draft.order["payment_result"]
    if result is not None and result["failed"]:
        draft.findings.append("the payment result says failed, the order says paid: it was paid by hand later")


def _refund_of_unpaid(draft: Draft, why: str) -> None:
    """Nothing here says that it was ever paid. A refund that was sent goes to the sink all the same, which knows
    whether the order was posted; a status alone does so only where Kentico keeps no mark of having been paid."""
    if draft.refund is not None and draft.refund["refund_id"] == STATUS and draft.order["dialect"] == "K13":
        raise Suppress("not_paid", f"{draft.who} is not paid, so there is nothing to give back: {why}")
    draft.only_refund = True


def unpaid_because(order: Order, paid_statuses: tuple[str, ...]) -> str | None:
    """None: the order is paid."""
    flag, status, result = order["order"]["OrderIsPaid"], order["status"], order["payment_result"]
    if flag is True:
        return None
    if flag is False:
        return "OrderIsPaid is false"
    name = status["StatusName"] if status else None
    if name in paid_statuses and name is not None:
        return None
    if order["dialect"] == "XBYK":
        listed = ", ".join(paid_statuses) or "none"
        return f"status {name!r} is not among the paid ones (rule paid.statuses: {listed})"
    if status is None or not status["StatusOrderIsPaid"]:
        return f"OrderIsPaid is not set, and status {name!r} is not a paid one"
    if result is not None and result["failed"]:
        return f"OrderIsPaid is not set, and the payment failed, though status {name!r} is a paid one"
    if result is not None and result["authorized"] and not result["completed"]:
        return "the payment is only authorised, not captured"
    return None


def cutover(draft: Draft) -> None:
    """Orders before the cut-over are another system's."""
    start = draft.store.rules.cutover
    if start is not None:
        day = local_day(draft.order["order"]["OrderDate"], draft.store.zone)
        if day < start:
            raise Suppress("before_cutover", f"{draft.who} is of {day}, before the cut-over on {start}")


def complete(draft: Draft, parameters: CompleteWith) -> None:
    """What no invoice can be made of."""
    order, row = draft.order, draft.order["order"]
    who = draft.who
    if not order["items"]:
        raise invalid("no_lines", f"{who} has no items", "Add its items in Kentico, or delete the order.")
    if row["OrderTotalPrice"] < 0:
        total = f"{row['OrderTotalPrice'].normalize():f}"
        raise invalid("negative_total", f"{who}: OrderTotalPrice is {total}", "Correct the order in Kentico.")
    if row["OrderDate"].year < parameters.not_before_year:
        text = f"{who}: OrderDate is {row['OrderDate'].date()}, before {parameters.not_before_year}"
        raise invalid("date_too_early", text, "Correct OrderDate in Kentico.")
    if row["OrderDate"] > draft.now + timedelta(days=parameters.days_ahead):
        text = f"{who}: OrderDate is {row['OrderDate'].isoformat()}, more than {parameters.days_ahead} day(s) ahead"
        raise invalid("date_in_future", text, "Correct OrderDate, or the time zone of the instance in k2x.yaml.")
    if order["customer"] is None:
        text = f"{who}: there is no customer row for OrderCustomerID {row['OrderCustomerID']}"
        raise invalid("customer_missing", text, "Restore the customer in Kentico, then redrive.")
