"""Reference data as rules meet it, and rules checked against it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from streams.rules.reference import build
from tests.streams.transform.example import reference, rules


def test_rows_become_look_ups() -> None:
    found = reference({"A": {"SalesAccountCode": "200", "SalesTaxType": "OUTPUT2"}}, lock="2026-01-31")
    assert (found.base_currency, found.lock_date) == ("GBP", date(2026, 1, 31))
    assert found.currencies == {"GBP", "USD", "EUR", "JPY"}
    sales = found.account("200")
    assert sales is not None
    assert sales is found.account("id-200")
    assert (sales.is_revenue, sales.takes_payments, sales.label) == (True, False, "200 Sales")
    assert found.rounding is found.account("260")
    assert found.tax_rates["INPUT2"].rate == Decimal(20)
    assert "REVENUE" not in found.tax_rates["INPUT2"].classes
    assert found.tracking == {"Channel": {"Web"}}
    assert found.items["A"].sales_account == "200"
    assert found.account(None) is None


def test_the_later_lock_date_counts() -> None:
    assert reference(None, lock="2026-01-31", EndOfYearLockDate="2026-03-31").lock_date == date(2026, 3, 31)
    assert reference().lock_date is None


def test_an_organisation_row_is_needed() -> None:
    assert build([]) is None
    assert build([("CURRENCY", "GBP", '{"Code":"GBP"}')]) is None


def test_documents_may_be_text_and_contacts_are_passed_over() -> None:
    rows: list[tuple[str, str, Any]] = [
        ("ORGANISATION", "o", b'{"BaseCurrency":"GBP"}'),
        ("CONTACT", "c", "not even JSON"),
        ("COMPLETE", "", "{}"),
    ]
    found = build(rows)
    assert found is not None
    assert found.currencies == {"GBP"}


def test_an_archived_account_does_not_hide_the_living_one_of_its_code() -> None:
    def account(id_: str, status: str) -> tuple[str, str, dict[str, Any]]:
        return (
            "ACCOUNT",
            id_,
            {"AccountID": id_, "Code": "200", "Type": "REVENUE", "Class": "REVENUE", "Status": status},
        )

    for rows in (
        [account("a", "ACTIVE"), account("b", "ARCHIVED")],
        [account("b", "ARCHIVED"), account("a", "ACTIVE")],
    ):
        found = build([("ORGANISATION", "o", {"BaseCurrency": "GBP"}), *rows])
        assert found is not None
        assert found.accounts["200"].id == "a"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accounts": {"default": "999"}}, "stores.emea/Goat.accounts.default: account 999 does not exist in Test Ltd"),
        ({"accounts": {"sku": {"X": "290"}}}, "accounts.sku.X: account 290 is archived"),
        ({"shipping_account": "998"}, "shipping_account: account 998 does not exist"),
        ({"payments": {"Card:GBP": "200"}}, "payments.Card:GBP: 200 Sales takes no payments"),
        ({"gift_card_accounts": {"*": "997"}}, "gift_card_accounts.*: account 997 does not exist"),
        ({"zero_tax": "NOPE"}, "zero_tax: Test Ltd has no active TaxType NOPE; it has OUTPUT2 20 %"),
        ({"tax": [{"rate": 20, "tax_type": "OLD20"}]}, "tax[0].tax_type: Test Ltd has no active TaxType OLD20"),
        ({"tax": [{"rate": 19, "tax_type": "OUTPUT2"}]}, "tax[0]: the rule is for 19 %, but OUTPUT2 has 20 % in Xero"),
        ({"tracking": {"Channel": "Old"}}, "tracking.Channel: Old: Test Ltd has no such active category"),
        (
            {"fields": [{"from": "OrderX", "to": "tracking", "category": "Channel", "options": {"a": "Old"}}]},
            "fields[0].Channel: Old: Test Ltd has no such active category",
        ),
    ],
)
def test_rules_are_checked_against_the_organisation(changes: dict[str, Any], said: str) -> None:
    assert rules().unknown_in(reference()) == []
    found = rules(changes).unknown_in(reference())
    assert any(said in one for one in found), found
