"""What a record says, in a person's words: for `k2x dlt show` and `k2x trace`. Customers stay masked. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any


@dataclass
class Description:
    """A title, and sections of lines under short names."""

    title: str
    parts: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, *lines: str | None) -> None:
        """Empty and absent lines are left out, and so is a section without any."""
        found = [line for line in lines if line]
        if found:
            self.parts.setdefault(name, []).extend(found)


def describe(schema: str, value: Mapping[str, Any]) -> Description:
    """`schema` is the stem of the .avsc, `value` the decoded record."""
    match schema:
        case "order":
            return _order(value)
        case "command":
            return _command(value)
        case "customer":
            made = Description(f"Customer {value['customer']['CustomerID']} of {value['instance']}")
            made.add("customer", person(value["customer"]))
            return made
        case "product":
            name = value["SKUNumber"] or f"SKUID {value['SKUID']}"
            made = Description(f"Product {name} of {value['instance']}")
            made.add("product", f"{value['SKUName']}, price {plain(value['SKUPrice'])}")
            return made
        case "settlement":
            return _settlement(value)
        case "change":
            made = Description(f"Hint: {value['object_type']} {value['object_id']} of {value['instance']} changed")
            made.add("event", f"{value['event_type']} by {value['source']}, received {moment(value['received_at'])}")
            return made
        case "writeback":
            made = Description(f"Write-back to order {value['order_id']} of {value['store'] or value['instance']}")
            made.add("columns", *(f"{column} = {text!r}" for column, text in sorted(value["fields"].items())))
            return made
        case "result":
            made = Description(f"Result: {value['kind']} {value['key']} {value['outcome']}")
            made.add("says", value["message"], value["number"] and f"number {value['number']}")
            return made
        case _:
            return Description(f"A record of schema {schema}")


def person(customer: Mapping[str, Any] | None) -> str:
    """Enough to recognise a customer by, and no more: the id, initials and the shape of the address."""
    if customer is None:
        return ""
    names = [customer["CustomerFirstName"], customer["CustomerLastName"]]
    initials = " ".join(f"{name[0]}." for name in names if name)
    known = ", ".join(part for part in (initials, masked(customer["CustomerEmail"])) if part)
    company = ", a company" if customer["CustomerCompany"] else ""
    return f"{customer['CustomerID']}" + (f" ({known}{company})" if known else company)


def masked(email: str | None) -> str:
    """a…@example.com"""
    if not email or "@" not in email:
        return ""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}…@{domain}"


def plain(amount: Decimal | str | float | None) -> str:
    """An amount with at least two decimals and no needless ones: 9.9 → 9.90, 1.2345 stays."""
    if amount is None:
        return ""
    value = Decimal(str(amount))
    exponent = value.normalize().as_tuple().exponent
    decimals = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{value:.{decimals}f}"


def count(quantity: Decimal | str | float) -> str:
    """1, 2.5: without trailing zeros."""
    return f"{Decimal(str(quantity)).normalize():f}"


def moment(at: datetime | None, *, millis: bool = False) -> str:
    """2026-11-24 18:46:41 UTC."""
    if at is None:
        return ""
    text = at.astimezone(UTC).isoformat(" ", "milliseconds" if millis else "seconds")
    return text.removesuffix("+00:00") + " UTC"


def span(length: timedelta) -> str:
    """A duration as people say it: 40 ms, 1.4 s, 12 s, 5 min, 3 h, 12 d."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{max(seconds, 0.0) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for most, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _order(value: Mapping[str, Any]) -> Description:
    row, currency = value["order"], (value["currency"] or {}).get("CurrencyCode", "")
    made = Description(f"Order {row['OrderID']} of {value['instance']}/{value['site_name'] or '(no site)'}")
    made.add(
        "event",
        f"{value['event_type']} by {value['source']}, received {moment(value['received_at'])}",
        f"version {value['version'].isoformat()}, ordered {moment(row['OrderDate'])}",
        "deleted in Kentico" if value["deleted"] else None,
    )
    status = value["status"]
    if status:
        made.add("status", f"{status['StatusName']}, {'paid' if row['OrderIsPaid'] else 'not marked as paid'}")
    country = next((a["CountryTwoLetterCode"] for a in value["addresses"] if a["CountryTwoLetterCode"]), "")
    made.add("customer", ", ".join(part for part in (person(value["customer"]), country) if part))
    made.add("lines", *_table(_item(item) for item in value["items"]))
    for discount in row["OrderDiscounts"]:
        made.add("lines", f"discount {discount['name']}: −{plain(discount['value'])}")
    if row["OrderTotalShipping"]:
        shipping = (value["shipping"] or {}).get("ShippingOptionName") or ""
        made.add("shipping", f"{plain(row['OrderTotalShipping'])} {shipping}".strip())
    made.add("total", f"{plain(row['OrderTotalPrice'])} {currency}")
    classes = ", ".join(f"{tax['name']} {plain(tax['value'])}" for tax in row["OrderTaxSummary"])
    made.add("tax", plain(row["OrderTotalTax"]) + (f" ({classes})" if classes else ""))
    option = (value["payment_option"] or {}).get("PaymentOptionName") or "no payment option"
    made.add("tenders", *(f"{plain(gift['value'])} {gift['name']}" for gift in row["OrderOtherPayments"]))
    if row["OrderGrandTotal"]:
        made.add("tenders", f"{plain(row['OrderGrandTotal'])} {option}")
    refund = value["refund"]
    if refund:
        made.add("refund", f"{refund['refund_id']}: {plain(refund['amount'])}, {refund['reason'] or 'no reason given'}")
    return made


def _item(item: Mapping[str, Any]) -> tuple[str, ...]:
    rate, tax_class = item["TaxRate"], item["TaxClassDisplayName"] or item["TaxClassName"]
    tax = " ".join(part for part in (tax_class, f"{count(rate)} %" if rate is not None else "") if part)
    return (
        f"{count(item['OrderItemUnitCount'])} ×",
        item["OrderItemSKUName"],
        f"[{item['SKUNumber']}]" if item["SKUNumber"] else "",
        f"at {plain(item['OrderItemUnitPrice'])}",
        plain(item["OrderItemTotalPrice"]),
        tax,
    )


def _settlement(value: Mapping[str, Any]) -> Description:
    made = Description(f"Settlement {value['settlement_id']} of {value['gateway']}, {value['instance']}")
    made.add("event", f"by {value['source']}, received {moment(value['received_at'])}, paid {moment(value['paid_at'])}")
    made.add("total", f"{plain(value['payout'])} {value['currency']}")
    for line in value["lines"]:
        order = f" order {line['order_id']}" if line["order_id"] else ""
        made.add("lines", f"{line['type'].lower()} {plain(line['amount'])}, fee {plain(line['fee'])}{order}")
    return made


def _command(value: Mapping[str, Any]) -> Description:
    body, kind = value["body"] or {}, value["kind"]
    if kind == "SALE":
        return _sale(value, body)
    if kind == "REFUND":
        summary = _of_day(value, body, "refunds")
        made = Description(summary or f"Refund {body['refund_id']} of order {value['order_id']} of {value['store']}")
        made.add("document", f"{body['number']}, dated {body['date']}")
        made.add("total", f"{plain(body['total'])} {body['currency']}, tax {plain(body['total_tax'])}")
        made.add("tenders", *_tenders(body["payments"]))
    elif kind == "SETTLEMENT":
        made = Description(
            f"Settlement {body['settlement_id']} of {body['gateway']}, for Xero organisation {value['org']}"
        )
        made.add("document", f"dated {body['date']}, marked {body['marker']}")
        made.add("total", f"payout {plain(body['payout'])} {body['currency']}, fees and the like {plain(body['fees'])}")
    elif kind == "CONTACT":
        made = Description(f"Contact {body['number']} of {value['instance']}")
        made.add("contact", masked(body["email"]))
    elif kind == "ITEM":
        made = Description(f"Item {body['code']}")
    else:
        made = Description(f"{kind.capitalize()} of order {value['order_id']} of {value['store']}")
    made.add("command", _made_from(value))
    return made


def _sale(value: Mapping[str, Any], body: Mapping[str, Any]) -> Description:
    title = _of_day(value, body, "orders") or f"Order {value['order_id']} of {value['store']}"
    made = Description(f"{title}, for Xero organisation {value['org']}")
    made.add("invoice", f"{body['number']}, dated {body['date']}")
    contact = body["contact"]
    email = masked(contact["email"])
    made.add("customer", contact["number"] + (f" ({email})" if email else ""))
    lines = json.loads(body["invoice"]).get("LineItems") or []
    made.add("lines", *_table(_invoice_line(line) for line in lines))
    made.add("total", f"{plain(body['total'])} {body['currency']}")
    made.add("tax", plain(body["total_tax"]))
    made.add("tenders", *_tenders(body["payments"]))
    made.add("findings", *value["findings"])
    made.add("command", _made_from(value))
    return made


def _of_day(value: Mapping[str, Any], body: Mapping[str, Any], what: str) -> str:
    """What a daily summary is; empty for what is about one order."""
    summary = body.get("summary")
    if summary is None or "/" not in (value["order_id"] or ""):
        return ""
    return f"Summary {body['number']} of {summary['orders']} {what} of {value['store']} on {summary['day']}"


def _invoice_line(line: Mapping[str, Any]) -> tuple[str, ...]:
    tax = f"{line.get('TaxType', '')} {plain(line.get('TaxAmount'))}".strip()
    return (
        f"{count(line.get('Quantity', 1))} ×",
        str(line.get("Description", "")).splitlines()[0] if line.get("Description") else "",
        f"[{line['ItemCode']}]" if line.get("ItemCode") else "",
        f"at {plain(line.get('UnitAmount'))}",
        f"account {line.get('AccountCode', '')}",
        tax,
    )


def _tenders(tenders: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{plain(t['amount'])} to account {t['account_code']} on {t['date']}" for t in tenders]


def _made_from(value: Mapping[str, Any]) -> str:
    return (
        f"version {value['version'].isoformat()}, rules version {value['rules_version']}, "
        f"made from {value['source_topic']}:{value['source_partition']}:{value['source_offset']}"
    )


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Cells as columns of one width each."""
    found = list(rows)
    widths = [max(len(row[i]) for row in found) for i in range(len(found[0]))] if found else []
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip() for row in found
    ]
