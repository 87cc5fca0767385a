"""An order that cannot be true is refused by its field: rows of another order, times ahead, codes of no kind."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.kentico import events
from connectors.kentico.errors import FieldError
from tests.connectors.kentico.samples import NOW, SHOP, data, event

FAR = "2099-01-01T00:00:00"


def routed(changes: dict[str, Any], **envelope: Any) -> Any:
    """The record of order 28 with some columns changed: `member.column` or `member.index.column`."""
    changed = data()
    for place, value in changes.items():
        *path, column = place.split(".")
        row: Any = changed
        for part in path:
            row = row[int(part) if part.isdigit() else part]
        row[column] = value
    return events.route(event(**{"data": changed, **envelope}), "", SHOP, NOW, None).value


@pytest.mark.parametrize(
    ("place", "value", "path", "says"),
    [
        ("items.1.OrderItemOrderID", 29, "data.items[1].OrderItemOrderID", "is 29, of another order"),
        ("statusHistory.0.OrderID", "27", "data.statusHistory[0].OrderID", "is 27, of another order"),
        ("customer.CustomerID", 32, "data.customer.CustomerID", "is 32, but the order's OrderCustomerID is 31"),
        ("status.StatusID", 3, "data.status.StatusID", "is 3, but the order's OrderStatusID is 2"),
        ("paymentOption.PaymentOptionID", 9, "data.paymentOption.PaymentOptionID", "OrderPaymentOptionID is 2"),
        ("order.OrderLastModified", FAR, "data.order.OrderLastModified", "more than 1 day(s) ahead"),
        ("items.0.OrderItemLastModified", FAR, "data.items[0].OrderItemLastModified", "2099-01-01 00:00 UTC"),
        ("addresses.0.AddressLastModified", FAR, "data.addresses[0].AddressLastModified", "ahead"),
        ("statusHistory.1.Date", FAR, "data.statusHistory.Date", "ahead"),
        ("currency.CurrencyCode", "ЖЖЖ", "data.currency.CurrencyCode", "no currency code"),
        ("currency.MainCurrencyCode", "pound", "data.currency.MainCurrencyCode", "no currency code"),
        ("currency.CurrencyRoundTo", -5, "data.currency.CurrencyRoundTo", "-5 is no number of decimals"),
        ("addresses.0.CountryTwoLetterCode", "CZE", "data.addresses[0].CountryTwoLetterCode", "no country code"),
    ],
)
def test_what_cannot_be_true_is_refused_by_its_field(place: str, value: Any, path: str, says: str) -> None:
    with pytest.raises(FieldError) as refused:
        routed({place: value})
    assert refused.value.path == path
    assert says in refused.value.problem


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00", FAR])
def test_an_event_and_a_refund_of_no_plausible_time_are_refused(at: str) -> None:
    with pytest.raises(FieldError, match="occurredAt"):
        routed({}, occurredAt=at)
    with pytest.raises(FieldError, match="refundedAt"):
        routed({"refund": {"refundId": "r", "refundedAt": at, "amount": "1.00"}}, eventType="order.refunded")


@pytest.mark.parametrize("nothing", [None, 0, "0", ""])
def test_a_row_that_does_not_say_whose_it_is_is_taken(nothing: Any) -> None:
    order = routed({"items.0.OrderItemOrderID": nothing, "order.OrderCustomerID": nothing, "site": {"SiteID": nothing}})
    assert (len(order["items"]), order["customer"]["CustomerID"]) == (2, 31)


def test_a_server_that_is_fourteen_hours_ahead_is_believed() -> None:
    assert routed({"order.OrderLastModified": "2026-11-03T00:15:31"})["version"].day == 3


@pytest.mark.parametrize("date", ["12/31/9999 11:59:59 PM", "1/1/0001 12:00:00 AM"])
def test_a_payments_date_that_cannot_be_is_no_date_and_the_order_goes_on(date: str) -> None:
    result = f'<result><item name="date" value="{date}" /><item name="completed" value="1" /></result>'
    order = routed({"order.OrderPaymentResult": result})
    assert (order["payment_result"]["date"], order["payment_result"]["completed"]) == (None, True)
    assert order["order"]["custom"]["OrderPaymentResult.date"] == date


def test_a_buyers_stamp_that_lies_ahead_does_not_hold_up_what_he_paid() -> None:
    order = routed({"customer.CustomerLastModified": FAR})
    assert (order["customer"]["CustomerLastModified"], order["version"].year) == (None, 2026)
    assert order["customer"]["custom"]["CustomerLastModified"] == FAR
    with pytest.raises(FieldError, match="CustomerLastModified"):
        events.route(
            event(
                "customer.updated", objectType="ecommerce.customer", objectId=31,
                data={"customer": data()["customer"] | {"CustomerLastModified": FAR}},
            ), "", SHOP, NOW, None,
        )  # fmt: skip
