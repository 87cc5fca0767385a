from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from connectors.kentico.errors import BadValue
from connectors.kentico.xml import coupon_codes, custom_data, payment_result, summary

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<Summary><Item><Name>&b;</Name><Value>1</Value></Item></Summary>"
)
FILE = '<!DOCTYPE s [<!ENTITY f SYSTEM "file:///etc/passwd">]><Summary><Item><Name>&f;</Name><Value>1</Value></Item></Summary>'


def test_summary_of_items_in_order() -> None:
    text = (
        "<Summary><Item><Name>VAT 20%</Name><Value>16.67</Value></Item>"
        "<Item><Name>Fish &amp; chips</Name><Value>-0.8333333333333333</Value></Item></Summary>"
    )
    assert summary(text) == [
        {"name": "VAT 20%", "value": Decimal("16.67")},
        {"name": "Fish & chips", "value": Decimal("-0.833333333")},
    ]


@pytest.mark.parametrize(
    "empty", [None, "", "<Summary />", "<Summary/>", "<Summary></Summary>", "<Summary>  </Summary>"]
)
def test_empty_summaries(empty: str | None) -> None:
    assert summary(empty) == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (BOMB, "safety"),
        (FILE, "safety"),
        ("<Summary><Item>", "no readable XML"),
        ("<Summary><Item><Name>x</Name></Item></Summary>", "no <Value>"),
        ("<Summary><Item><Name>x</Name><Value>1,50</Value></Item></Summary>", "no amount"),
        ("<Summary><Item><Name>x</Name><Value>NaN</Value></Item></Summary>", "no amount"),
        ("<Summary><Item><Name>x</Name><Value>1e9</Value></Item></Summary>", "no amount"),
        ("<CouponCodes><CouponCode/></CouponCodes>", "<Summary> was expected"),
        ("<Summary>" + " " * 300_000 + "</Summary>", "characters"),
        ("<Summary>" + "<a>" * 50_000, "no readable XML"),
        (17, "needs XML"),
        ({}, "needs XML"),
    ],
)
def test_bad_summaries_say_why(bad: object, said: str) -> None:
    with pytest.raises(BadValue, match=said):
        summary(bad)


def test_coupons_at_any_depth() -> None:
    text = (
        "<CouponCodes><CouponCode><Code>BDAY_CWPZ9</Code>"
        "<ApplicationStatus>AppliedInOrder</ApplicationStatus></CouponCode></CouponCodes>"
    )
    assert coupon_codes(text) == ["BDAY_CWPZ9"]
    assert coupon_codes("<CouponCodes />") == []


def test_custom_data_is_a_map() -> None:
    assert custom_data("<CustomData><OrderPONumber>PO-7</OrderPONumber><Empty/></CustomData>") == {
        "OrderPONumber": "PO-7"
    }


RESULT = (
    '<result><item name="date" header="{$d$}" value="6/9/2021 1:59:03 PM" text="" />'
    '<item name="method" value="3" text="PayPal" /><item name="completed" value="1" text="{$c$}" />'
    '<item name="transactionid" value="PAY-1AB23456" text="" /><item name="failed" value="0" text="" /></result>'
)


def _never(value: str) -> datetime:
    raise BadValue(value)


def test_payment_result() -> None:
    paid = datetime(2021, 6, 9, 12, 59, 3, tzinfo=UTC)
    result, unread = payment_result(RESULT, lambda value: paid)
    assert unread is None
    assert result is not None
    assert result["date"] == paid
    assert (result["method"], result["transaction_id"], result["completed"]) == ("PayPal", "PAY-1AB23456", True)
    assert (result["failed"], result["authorized"], result["authorization_id"]) == (False, False, None)


def test_payment_date_in_another_form_is_kept_as_text() -> None:
    result, unread = payment_result(RESULT, _never)
    assert result is not None
    assert result["date"] is None
    assert unread == "6/9/2021 1:59:03 PM"


def test_no_payment_result() -> None:
    assert payment_result(None, _never) == (None, None)
    assert payment_result("<result></result>", _never) == (None, None)
