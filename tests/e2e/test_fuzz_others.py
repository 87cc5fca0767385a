"""Customers, products and settlements: an odd value in any place is refused, left out, or a document to be believed."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.kentico import events
from connectors.kentico.errors import FieldError
from connectors.kentico.settings import InstanceSettings
from k2x.settlements.formats import read
from schemas.codec import Codec
from schemas.errors import NotEncodable
from schemas.ids import CommittedIds
from streams.flow import Refused, Suppressed
from streams.rules.document import RulesDocument
from streams.workflow import Workflow, compile_store
from tests.connectors.kentico.odd import each
from tests.connectors.kentico.samples import data
from tests.k2x.settlements.test_formats import GENERIC, STRIPE
from tests.streams.transform.example import ACCOUNTS, reference, rules

D = Decimal
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SHOP = InstanceSettings(name="emea", time_zone="Europe/London")
CODEC = Codec(CommittedIds())
CODES = {row[0] for row in ACCOUNTS}
_SETTLED = {
    "clearing_account": "090", "bank_account": "090", "contact": "Stripe",
    "fee": {"account": "400", "tax_type": "NONE"},
}  # fmt: skip


def flow() -> Workflow:
    """Every product is kept as an item; the cards' money is settled."""
    given = rules({"products": {"mode": "all"}}).model_dump(by_alias=True)
    given["settlements"] = {"card:GBP": _SETTLED}
    return Workflow(compile_store(RulesDocument.model_validate(given), reference(), store="emea/Goat", rules_version=1))


FLOW = flow()


def envelope(event_type: str, object_type: str, object_id: int, **given: Any) -> dict[str, Any]:
    return {
        "specVersion": 1, "eventId": "e", "eventType": event_type, "occurredAt": "2026-11-27T10:00:00Z",
        "instance": "emea", "siteName": "Goat", "objectType": object_type, "objectId": object_id, "schema": "k13",
        "data": given,
    }  # fmt: skip


def becomes(sent: Any) -> tuple[str, Any]:
    """In a word, and the command's body where there is one."""
    try:
        routed = events.route(sent, "", SHOP, NOW, None)
        value: Any = CODEC.decode(CODEC.encode(routed.schema, routed.value))
    except (FieldError, NotEncodable):
        return "refused by the source", None
    if routed.schema not in ("customer", "product", "settlement"):
        return f"a {routed.schema}", None
    make = {"customer": FLOW.contact, "product": FLOW.item, "settlement": FLOW.settlement}[routed.schema]
    made: Any = make(value, NOW)
    if isinstance(made, Suppressed | Refused):
        return "suppressed" if isinstance(made, Suppressed) else "refused by the flow", None
    assert made["version"] <= NOW + timedelta(days=31)
    return "a command", CODEC.decode(CODEC.encode("command", made))["body"]


def clean(document: str) -> Any:
    assert "\\u0000" not in document
    return json.loads(document, parse_float=D, parse_int=D)


def test_no_column_of_a_customer_has_an_odd_value_that_xero_is_told() -> None:
    whole = envelope("customer.updated", "ecommerce.customer", 31, customer=data()["customer"])
    words: Counter[str] = Counter()
    for _, sent in each(whole):
        word, body = becomes(sent)
        words[word] += 1
        if body is not None:
            contact = clean(body["document"])
            assert contact["Name"].strip()
            assert contact["ContactNumber"].strip()
            assert len(contact["Name"]) <= 255
            assert "@" in contact.get("EmailAddress", "@")
    assert min(words["a command"], words["refused by the source"]) > 50, words


def test_no_column_of_a_product_has_an_odd_value_that_xero_is_told() -> None:
    sku = {
        "SKUID": 94, "SKUNumber": "COF-PLNG", "SKUName": "Coffee Plunger", "SKUPrice": "29.900000000",
        "SKUEnabled": True, "SKUSiteID": 1, "SKUTaxClassID": 1, "SKULastModified": "2026-11-02T10:15:30",
        "SKUShortDescription": "<p>…</p>",
    }  # fmt: skip
    words: Counter[str] = Counter()
    for _, sent in each(envelope("product.updated", "ecommerce.sku", 94, sku=sku)):
        word, body = becomes(sent)
        words[word] += 1
        if body is not None:
            item = clean(body["document"])
            assert 0 < len(item["Code"]) <= 30
            assert 0 < len(item["Name"]) <= 50
            assert item["SalesDetails"]["AccountCode"] in CODES
            assert item["SalesDetails"]["UnitPrice"].is_finite()
            assert "QuantityOnHand" not in item
    assert min(words["a command"], words["refused by the source"]) > 20, words


def test_no_field_of_a_settlement_has_an_odd_value_that_moves_money() -> None:
    line = {"type": "charge", "amount": "120.00", "fee": "3.10", "orderId": "28", "transactionId": "txn_1"}
    settlement = {
        "settlementId": "po_1", "gateway": "card", "currency": "GBP", "paidAt": "2026-11-26T09:00:00",
        "payout": "116.90", "lines": [line],
    }  # fmt: skip
    words: Counter[str] = Counter()
    for _, sent in each(envelope("settlement.paid", "gateway.settlement", 1, settlement=settlement)):
        word, body = becomes(sent)
        words[word] += 1
        if body is not None:
            assert D(body["gross"]) - D(body["fees"]) == D(body["payout"]) == D("116.90")
            assert date(2000, 1, 1) <= date.fromisoformat(body["date"]) < date(2026, 12, 31)
            assert clean(body["transfer"])["Amount"] == D("116.90")
    assert min(words["a command"], words["refused by the source"]) > 50, words


def test_no_cell_of_a_file_of_settlements_has_an_odd_value_that_comes_in() -> None:
    """What is read of a changed file makes the same payouts, or the file names the bad line."""
    for form, text, gateway in (("generic", GENERIC, "card"), ("stripe", STRIPE, "card")):
        head, *lines = text.splitlines()
        good = _payouts(read([head, *lines], form, gateway))
        read_lines = [
            line for line in lines if line.split(",")[0] and ",payout," not in line
        ]  # paid out, and no payout
        refused = 0
        for number, line in enumerate(lines):
            cells = line.split(",")
            for at, cell in enumerate(cells):
                for odd in ("NaN", "1e3", "-", "1_0", "٣", "12.345", "0x1", "9" * 40, "two", f"{cell}\x00"):
                    changed = [*lines[:number], ",".join([*cells[:at], odd, *cells[at + 1 :]]), *lines[number + 1 :]]
                    found = read([head, *changed], form, gateway)
                    refused += bool(found.bad)
                    column = head.split(",")[at]
                    if column in ("payout", "amount", "fee", "gross", "net") and line in read_lines:
                        assert found.bad, (column, odd)
                    elif column not in ("settlement_id", "automatic_payout_id", "reporting_category") and not found.bad:
                        assert _payouts(found) == good, (column, odd)
        assert refused > 50


def _payouts(found: Any) -> dict[str, Decimal]:
    made: dict[str, Decimal] = {}
    for _, one in found.settlements:
        made[one["settlementId"]] = sum((D(line["amount"]) - D(line["fee"]) for line in one["lines"]), D(0))
    return made
