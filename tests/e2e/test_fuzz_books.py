"""Whatever a source says of an order, what the flow makes of it can be believed, or it says why there is nothing.

From the bytes of each source to the command for the sink, without Kafka: webhook, outbox, Xperience, rows read by
REST, and StoreApi. HYPOTHESIS_PROFILE=deep goes fifty times as far.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
from hypothesis import event as seen
from hypothesis import given, settings

from connectors.kentico import events
from connectors.kentico.aggregate import Facts
from connectors.kentico.errors import FieldError, RestError
from connectors.kentico.lookups import Lookups
from connectors.kentico.reading import Reading
from connectors.kentico.rest import KenticoRest
from connectors.kentico.settings import InstanceSettings, RestSettings
from connectors.kentico.storeapi import k13_data
from schemas.codec import Codec
from schemas.errors import NotEncodable
from schemas.ids import CommittedIds
from streams.flow import Refused, Suppressed
from streams.workflow import run
from tests.connectors.kentico.odd import each, oddly
from tests.connectors.kentico.samples import event
from tests.connectors.kentico.test_fuzz import KORDER, ROWS, Answers
from tests.connectors.kentico.test_xbyk import event as xbyk_event
from tests.depth import examples
from tests.streams.transform.example import ACCOUNTS, TAX_RATES, store

D = Decimal
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
CODEC = Codec(CommittedIds())
K13 = InstanceSettings(name="emea", time_zone="Europe/London")
XBYK = InstanceSettings(name="emea", time_zone="UTC", dialect="XBYK")
# Far from each other, so that a time at an end of the calendar is met on both sides of it.
STORE = store({"time_zone": "America/New_York", "refunds": {"statuses": ["Refunded"]}})
STORE_OF_XBYK = store({"time_zone": "Australia/Sydney", "currency": "GBP", "paid": {"statuses": ["Completed"]}})
_MONEY = re.compile(r"[0-9]+\.[0-9]+")
RATES = {type_: D(rate) for type_, rate, _, _ in TAX_RATES}
CODES = {row[0] for row in ACCOUNTS}


def whole(**changes: Any) -> dict[str, Any]:
    """A paid order that is posted as it is: in dollars, sold to a Briton."""
    made = event(siteName="Goat", **changes)
    made["data"]["addresses"][0]["CountryTwoLetterCode"] = "GB"
    made["data"]["paymentOption"]["PaymentOptionName"] = "Card"
    made["data"]["currency"] = {
        "CurrencyCode": "USD", "CurrencyRoundTo": 2, "CurrencyIsMain": False, "MainCurrencyCode": "GBP",
    }  # fmt: skip
    return made


def refunded() -> dict[str, Any]:
    """The same, of which one of two plungers came back."""
    made = whole(eventType="order.refunded")
    line = {"OrderItemGUID": "6E3C1C0A-1F0D-4B0E-8A55-0C5F9B1C2A11", "quantity": "1", "amount": "29.90", "tax": "5.98"}
    made["data"]["refund"] = {
        "refundId": "r1", "refundedAt": "2026-11-02T10:15:40", "currency": "USD", "amount": "35.88", "lines": [line],
        "reason": "broken", "shipping": None, "tender": None, "transactionId": "re_1",
    }  # fmt: skip
    return made


def of_xperience() -> dict[str, Any]:
    """An order of Xperience that adds up: 2 × 49.99, shipping 5.99, 20 % on top of all."""
    made = xbyk_event() | {"instance": "emea", "siteName": "Goat"}
    made["data"]["order"] |= {
        "OrderTotalPrice": "99.98", "OrderTotalTax": "21.19", "OrderGrandTotal": "127.16", "OrderTotalShipping": "5.99",
    }  # fmt: skip
    made["data"]["items"][0] |= {"OrderItemTotalTax": "19.99", "OrderItemTaxRate": "0.2"}
    made["data"]["paymentMethod"] = {"PaymentMethodID": 2, "PaymentMethodName": "Card"}
    made["data"]["status"] = {"OrderStatusID": 3, "OrderStatusName": "Completed"}
    made["data"].pop("currency", None)
    return made


def becomes(make: Callable[[], events.Routed], by: Any = STORE) -> str:
    """What came of it, in a word; AssertionError where that cannot be believed."""
    try:
        routed = make()
        order: Any = CODEC.decode(CODEC.encode(routed.schema, routed.value))
    except (FieldError, NotEncodable) as error:
        if not str(error):
            raise AssertionError("a refusal that says nothing") from error
        return "refused by the source"
    if routed.schema != "order":
        return f"a {routed.schema}"
    outcome = run(order, by, NOW)
    made = outcome.made
    if isinstance(made, Suppressed):
        assert made.code
        assert made.message
        return "suppressed"
    if isinstance(made, Refused):
        assert made.reason.message, made
        assert made.reason.hint, made
        return "refused by the flow"
    _believable(made, order)
    if outcome.refund is not None:
        _believable_refund(outcome.refund, made)
    return str(made["kind"]).lower()


def _believable(made: Any, order: Any) -> None:
    assert made["version"] <= NOW + timedelta(days=1), "it would outdo every later version"
    if made["kind"] == "CANCEL":
        return
    body = made["body"]
    if made["kind"] == "REFUND":
        assert _day(body["date"])
        assert D(body["total"]) > 0
        return
    invoice = orjson.loads(body["invoice"])
    assert body["number"] == f"S-{order['order']['OrderID']}"
    assert order["order"]["OrderID"] > 0
    assert body["currency"] in ("GBP", "USD", "EUR", "JPY")
    assert _day(body["date"])
    assert _day(invoice["DueDate"])
    wanted = order["order"]["OrderTotalPrice"] if order["dialect"] == "K13" else None
    if wanted is not None and order["currency"]["CurrencyCode"] != "JPY":
        assert abs(D(body["total"]) - wanted) < D("0.01"), "the invoice is not what the order cost"
    assert _total(invoice) == D(body["total"])
    paid = sum((D(one["amount"]) for one in body["payments"]), D(0))
    assert paid == D(body["total"]) >= 0
    assert all(_day(one["date"]) and one["account_code"] in CODES for one in body["payments"])
    assert not {one for one in body["invoice"] if ord(one) < 32}
    assert "\\u0000" not in body["invoice"]
    contact = json.loads(body["contact"]["document"])
    assert contact["Name"].strip()
    assert contact["ContactNumber"].strip()
    assert "\\u0000" not in body["contact"]["document"]


def _total(invoice: Any) -> Decimal:
    """As Xero computes it (xero.md §4.3), from the document's own text."""
    total = D(0)
    exact = json.loads(json.dumps(invoice), parse_float=D, parse_int=D)
    for line in exact["LineItems"]:
        assert line["AccountCode"] in CODES
        assert line["TaxType"] in RATES
        amount = (line["Quantity"] * line["UnitAmount"] - line.get("DiscountAmount", D(0))).quantize(
            D("0.01"), "ROUND_HALF_UP"
        )
        rate = RATES[line["TaxType"]]
        added = invoice["LineAmountTypes"] == "Exclusive"
        tax = line.get("TaxAmount", (amount * rate / 100).quantize(D("0.01"), "ROUND_HALF_UP"))
        total += amount + (tax if added else 0)
    return total


def _believable_refund(refund: Any, sale: Any) -> None:
    body = refund["body"]
    assert 0 < D(body["total"]) <= D(sale["body"]["total"])
    assert _day(body["date"])
    assert body["currency"] == sale["body"]["currency"]
    assert sum((D(one["amount"]) for one in body["payments"]), D(0)) <= D(body["total"])


def _day(text: str) -> bool:
    return date(2000, 1, 1) <= date.fromisoformat(text) <= NOW.date() + timedelta(days=2)


async def test_the_samples_are_posted_as_they_are() -> None:
    """Else all below would be refusals of the sample."""
    assert becomes(lambda: events.route(whole(), "", K13, NOW, None)) == "sale"
    assert becomes(lambda: events.route(refunded(), "", K13, NOW, None)) == "sale"
    assert becomes(lambda: events.route(of_xperience(), "", XBYK, NOW, None), STORE_OF_XBYK) == "sale"
    assert await by_rest(rows()) == "sale"
    assert becomes(lambda: _built(k13_data(korder()), "STOREAPI")) == "sale"


def test_no_column_has_an_odd_value_of_its_kind_that_is_believed() -> None:
    """Each column of a refunded order, with everything that it should not hold, one at a time."""
    words = Counter(
        becomes(lambda sent=sent: events.route(sent, "", K13, NOW, None))  # type: ignore[misc]
        for _, sent in each(refunded())
    )
    assert words["sale"] > words["refused by the flow"] > 100, words
    assert words["refused by the source"] > 500, words


@settings(max_examples=examples(150))
@given(oddly(whole()))
def test_an_odd_webhook_or_outbox_event_is_believable_or_refused(sent: Any) -> None:
    seen(becomes(lambda: events.route(sent, "", K13, NOW, None)))


@settings(max_examples=examples(100))
@given(oddly(refunded()["data"]["refund"]))
def test_an_odd_refund_is_believable_or_refused(refund: Any) -> None:
    sent = refunded()
    sent["data"]["refund"] = refund
    seen(becomes(lambda: events.route(sent, "", K13, NOW, None)))


def test_no_column_of_xperience_has_an_odd_value_that_is_believed() -> None:
    words = Counter(
        becomes(lambda sent=sent: events.route(sent, "", XBYK, NOW, None), STORE_OF_XBYK)  # type: ignore[misc]
        for _, sent in each(of_xperience())
    )
    assert min(words["sale"], words["refused by the source"]) > 150, words
    assert words["refused by the flow"] > 20, words


def rows() -> dict[str, list[dict[str, Any]]]:
    """The tables that the order is joined from: what REST answers."""
    joined = ("SKUNumber", "TaxClassDisplayName", "TaxRate")
    made = deepcopy(ROWS)
    made["ecommerce.orderitem"] = [
        {name: value for name, value in item.items() if name not in joined} for item in whole()["data"]["items"]
    ]
    skus = {"SKUID": 94, "SKUNumber": "COF-PLNG"}, {"SKUID": 125, "SKUNumber": "AER-AP-F"}
    made["ecommerce.sku"] = [{**sku, "SKUDepartmentID": 1, "SKUTaxClassID": 1} for sku in skus]
    made["ecommerce.orderaddress"][0] |= {"AddressCountryID": 492}
    made["ecommerce.paymentoption"][0]["PaymentOptionName"] = "Card"
    made["ecommerce.shippingoption"] = [whole()["data"]["shippingOption"]]
    made["ecommerce.currency"] = [
        {"CurrencyID": 1, "CurrencySiteID": None, "CurrencyCode": "USD", "CurrencyRoundTo": 2, "CurrencyIsMain": True}
    ]
    made["ecommerce.taxclass"] = [{"TaxClassID": 1, "TaxClassName": "Vat", "TaxClassDisplayName": "VAT 20%"}]
    made["ecommerce.taxclasscountry"] = [{"TaxClassCountryID": 1, "TaxClassID": 1, "CountryID": 492, "TaxValue": 20}]
    made["cms.country"] = [{"CountryID": 492, "CountryName": "UnitedKingdom", "CountryTwoLetterCode": "GB"}]
    made["cms.site"] = [{"SiteID": 1, "SiteName": "Goat"}]
    made["ecommerce.orderstatususer"][0]["Date"] = "2026-11-02T10:15:32"
    for row in (*made["ecommerce.order"], *made["ecommerce.orderitem"]):
        row.update({name: float(value) for name, value in row.items() if _MONEY.fullmatch(str(value))})
    return made


async def by_rest(answers: Any) -> str:
    told = RestSettings(url="http://shop.test/rest", attempts=1)
    rest = KenticoRest("emea", told, transport=httpx.MockTransport(Answers(answers)))
    instance = InstanceSettings(name="emea", time_zone="Europe/London", rest=told)
    try:
        found = (await Reading(rest, Lookups(rest, 300), instance).read(events.ORDER, [28]))[28]
    except (RestError, KeyError, TypeError, ValueError):
        return "an outage"
    finally:
        await rest.close()
    data = getattr(found, "data", None)
    return "nothing" if data is None else becomes(lambda: _built(data, "REST"))


def _built(data: Any, source: Any) -> events.Routed:
    facts = Facts(K13, "order.updated", source, NOW, NOW, site_name="Goat")
    return events.Routed("order", events.build(events.ORDER, data, facts), events.ORDER, 28)


@settings(max_examples=examples(100))
@given(oddly(rows()))
async def test_odd_rows_of_rest_are_believable_refused_or_an_outage(answers: Any) -> None:
    seen(await by_rest(answers))


def korder() -> Any:
    """StoreApi's order, in dollars: as it leaves out tax classes, its tax is found from its sums."""
    made = deepcopy(KORDER)
    made["orderCurrency"] = {"currencyId": 1, "currencyCode": "USD", "currencyFormatString": "${0:F2}"}
    made["orderPaymentOption"]["paymentOptionName"] = "Card"
    made |= {"orderTotalTax": D("13.96"), "orderTotalPrice": D("83.76"), "orderGrandTotal": D("83.76")}
    made["orderTaxSummary"] = "<Summary><Item><Name>VAT 20%</Name><Value>13.96</Value></Item></Summary>"
    return made


def test_no_part_of_storeapis_order_has_an_odd_value_that_is_believed() -> None:
    words: Counter[str] = Counter()
    for _, order in each(korder()):
        try:
            data = k13_data(order)
        except (KeyError, TypeError, AttributeError):  # StoreApiReading makes RestUnreadable of it
            words["unreadable"] += 1
        else:
            words[becomes(lambda data=data: _built(data, "STOREAPI"))] += 1  # type: ignore[misc]
    assert min(words["sale"], words["refused by the source"]) > 150, words
    assert words["refused by the flow"] > 20, words
