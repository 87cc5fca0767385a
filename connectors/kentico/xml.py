"""The XML that Kentico keeps in columns, pure and safe: no DTD, no entities, bounded size.

Whatever cannot be read raises BadValue; the caller knows the column.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import XML, Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from connectors.kentico.errors import BadValue
from connectors.kentico.fields import summed
from schemas.types import NamedAmount, PaymentResult

# The largest summary seen holds a dozen discounts, about 1 kB.
_LONGEST = 256_000
_EMPTY = frozenset(
    {"", "<Summary />", "<Summary/>", "<Summary></Summary>", "<CouponCodes />", "<CouponCodes/>", "<result />"}
)
_TRUE = frozenset({"1", "true", "True"})


def summary(value: Any) -> list[NamedAmount]:
    """`<Summary><Item><Name/><Value/></Item>…</Summary>` in the order's currency; null and empty are no items."""
    root = _root(value, "Summary")
    if root is None:
        return []
    found: list[NamedAmount] = []
    for position, item in enumerate(root):
        if item.tag != "Item":
            raise BadValue(f"<{item.tag}> where <Item> was expected")
        amount = item.findtext("Value")
        if amount is None:
            raise BadValue(f"item {position + 1} has no <Value>")
        found.append({"name": item.findtext("Name") or "", "value": summed(amount)})
    return found


def coupon_codes(value: Any) -> list[str]:
    """The text of every <Code>; how Kentico nests them is not documented, so any depth is accepted."""
    root = _root(value, "CouponCodes")
    if root is None:
        return []
    return [code.text.strip() for code in root.iter("Code") if code.text and code.text.strip()]


def payment_result(value: Any, read_date: Callable[[str], datetime]) -> tuple[PaymentResult | None, str | None]:
    """`<result><item name="…" value="…" text="…"/>…</result>` and, where its date cannot be read, that date's text.

    A gateway's own module may write a date in another form; the order's other dates stand in for it, so it does not
    stop the order.
    """
    root = _root(value, "result")
    if root is None:
        return None, None
    items = {(item.get("name") or "").lower(): item for item in root.iter("item")}
    if not items:
        return None, None

    def of(name: str, attribute: str = "value") -> str | None:
        return (items[name].get(attribute) or "").strip() or None if name in items else None

    text = of("date")
    date: datetime | None = None
    unread = None
    if text is not None:
        try:
            date = read_date(text)
        except BadValue:
            unread = text
    result: PaymentResult = {
        "date": date,
        "method": of("method", "text") or of("method"),
        "transaction_id": of("transactionid"),
        "authorization_id": of("authorizationid"),
        "completed": of("completed") in _TRUE,
        "failed": of("failed") in _TRUE,
        "authorized": of("authorized") in _TRUE,
        "status": of("status", "text") or of("status"),
        "description": of("description", "text") or of("description"),
    }
    return result, unread


def custom_data(value: Any) -> dict[str, str]:
    """`<CustomData><Key>value</Key>…</CustomData>` as a map of text."""
    root = _root(value, "CustomData")
    if root is None:
        return {}
    return {child.tag: child.text for child in root if child.text}


def _root(value: Any, tag: str) -> Element | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadValue(f"needs XML as text, not {type(value).__name__}")
    if value in _EMPTY:
        return None
    if len(value) > _LONGEST:
        raise BadValue(f"is {len(value)} characters of XML; at most {_LONGEST} are read")
    try:
        # Without a declaration there is no DTD and no entity, so the C parser is as safe and ten times as fast.
        plain = "<!" not in value and "<?" not in value
        root: Element = XML(value) if plain else fromstring(value, forbid_dtd=True)
    except ParseError as error:
        raise BadValue(f"is no readable XML: {error}") from None
    except DefusedXmlException as error:
        raise BadValue(f"is XML that is not read for safety: {type(error).__name__}") from None
    except (ValueError, LookupError) as error:  # an encoding declaration in text, or an unknown one
        raise BadValue(f"is no readable XML: {error}") from None
    if root.tag != tag:
        raise BadValue(f"is <{str(root.tag)[:40]}> where <{tag}> was expected")
    return root
