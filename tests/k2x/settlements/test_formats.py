"""Files of settlements: what each format comes to, and bad rows named by their line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.kentico.settings import InstanceSettings
from k2x.settlements.book import Known, offered
from k2x.settlements.formats import read
from schemas.codec import Codec
from schemas.ids import CommittedIds

CODEC = Codec(CommittedIds())
NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
SHOP = InstanceSettings(name="emea", time_zone="Europe/London")
GENERIC = """settlement_id,currency,paid_at,payout,type,amount,fee,order_id
S-1,GBP,2026-11-26,146.90,charge,120.00,2.00,28
S-1,GBP,2026-11-26,,charge,60.00,1.10,29
S-1,GBP,2026-11-26,146.90,refund,-30.00,,28
S-2,GBP,2026-11-27T08:00:00Z,10.00,charge,10.00,0,
"""
_STRIPE_HEAD = (
    "automatic_payout_id,automatic_payout_effective_at_utc,balance_transaction_id,currency,gross,fee,net,"
    "reporting_category,payment_metadata[order_id]\n"
)
STRIPE = f"""{_STRIPE_HEAD}po_1,2026-11-26 00:00:00,txn_1,gbp,120.00,2.00,118.00,charge,28
po_1,2026-11-26 00:00:00,txn_2,gbp,-30.00,0.00,-30.00,refund,28
po_1,2026-11-26 00:00:00,txn_3,gbp,-40.00,15.00,-55.00,dispute,
po_1,2026-11-26 00:00:00,txn_4,gbp,5.00,0.00,5.00,other_adjustment,
,,txn_5,gbp,9.00,0.10,8.90,charge,
po_1,2026-11-26 00:00:00,txn_6,gbp,-38.00,0.00,-38.00,payout,
"""
_PAYPAL_HEAD = '"Date","Time","TimeZone","Name","Type","Status","Currency","Gross","Fee","Net","Transaction ID",'
PAYPAL = f"""{_PAYPAL_HEAD}"Invoice Number"
"11/27/2026","09:00:00","GMT","","General Withdrawal","Completed","GBP","-1,166.50","0.00","-1,166.50","W1",""
"11/26/2026","10:00:00","GMT","Ada","Express Checkout Payment","Completed","GBP","1,200.00","-3.50","1,196.50","T1","28"
"11/26/2026","11:00:00","GMT","Ada","Payment Refund","Completed","GBP","-30.00","0.00","-30.00","T2","28"
"11/26/2026","11:00:00","GMT","Bob","Express Checkout Payment","Pending","GBP","5.00","0.00","5.00","T3",""
"""


def test_generic_rows_of_an_id_are_one_settlement() -> None:
    found = read(GENERIC.splitlines(), "generic", "card")
    assert found.bad == []
    (_, first), (line, second) = found.settlements
    assert (first["settlementId"], first["payout"], first["paidAt"]) == ("S-1", "146.90", "2026-11-26T00:00:00")
    assert [(x["type"], x["amount"], x["fee"], x["orderId"]) for x in first["lines"]] == [
        ("charge", "120.00", "2.00", "28"), ("charge", "60.00", "1.10", "29"), ("refund", "-30.00", "0.00", "28"),
    ]  # fmt: skip
    assert (second["payout"], line) == ("10.00", 5)


def test_stripes_report_is_the_sum_of_its_rows_without_what_is_not_paid_out_yet() -> None:
    found = read(STRIPE.splitlines(), "stripe", "stripe")
    assert found.bad == []
    ((_, one),) = found.settlements
    assert (one["settlementId"], one["currency"], one["payout"]) == ("po_1", "GBP", "38.00")
    assert [x["type"] for x in one["lines"]] == ["charge", "refund", "chargeback", "adjustment"]
    assert (one["paidAt"], one["lines"][0]["orderId"]) == ("2026-11-26T00:00:00Z", "28")


def test_paypals_withdrawal_pays_out_what_came_since_the_last_one() -> None:
    found = read(PAYPAL.splitlines(), "paypal", "paypal")
    assert found.bad == []
    ((_, one),) = found.settlements
    assert (one["settlementId"], one["payout"], one["paidAt"]) == ("W1", "1166.50", "2026-11-27T09:00:00Z")
    assert [(x["type"], x["amount"], x["fee"]) for x in one["lines"]] == [
        ("charge", "1200.00", "3.50"), ("refund", "-30.00", "0.00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "text", "line", "says"),
    [
        ("generic", GENERIC.replace("60.00", "sixty"), 3, "amount: 'sixty' is no amount"),
        ("generic", GENERIC.replace("146.90,refund", "1.00,refund"), 4, "payout is 1.00"),
        ("generic", GENERIC.replace("60.00,1.10", '"60,00","1,10"'), 3, "amount: '60,00' is no amount"),
        ("generic", GENERIC.replace("60.00", "6_0"), 3, "amount: '6_0' is no amount"),
        ("generic", GENERIC.replace("60.00", "60.001"), 3, "amount: '60.001' is no amount"),
        ("paypal", PAYPAL.replace("-30.00", "-30,00"), 4, "'-30,00' is no amount"),
        ("generic", GENERIC.replace("payout", "paid"), 1, "there is no column payout"),
        ("generic", GENERIC.replace("S-2,", ","), 5, "id is missing"),
        ("stripe", STRIPE.replace("118.00", "117.00"), 2, "net is 117.00, but gross 120.00 less fee 2.00 is 118.00"),
        ("paypal", PAYPAL.replace("-1,166.50", "-1,000.00"), 2, "the rows since the last withdrawal make 1166.50"),
        ("paypal", PAYPAL.replace("11/26/2026", "26/11/2026"), 3, "try --day-first"),
        ("paypal", PAYPAL.replace('"GMT","Ada"', '"XYZ","Ada"'), 3, "'XYZ' is not known"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_its_line(form: str, text: str, line: int, says: str) -> None:
    bad = read(text.splitlines(), form, "g").bad
    assert (line, True) in [(number, says in problem) for number, problem in bad], bad


def test_a_file_that_comes_twice_changes_nothing_and_another_one_under_an_id_goes_on() -> None:
    found = read(GENERIC.splitlines(), "generic", "card").settlements
    first = offered(found, SHOP, None, {}, CODEC, NOW)
    assert ([r.key for r in first.records], first.bad) == (
        [b"emea|settlement/card/S-1", b"emea|settlement/card/S-2"],
        [],
    )
    there: dict[str, Any] = {}
    for record in first.records:
        there[record.key.decode()] = Known(CODEC.decode(record.value or b""))  # type: ignore[arg-type]
    again = offered(found, SHOP, None, there, CODEC, NOW)
    assert (again.records, len(again.same)) == ([], 2)
    changed = read(
        GENERIC.replace("10.00,charge,10.00", "11.00,charge,11.00").splitlines(), "generic", "card"
    ).settlements
    assert [r.key for r in offered(changed, SHOP, None, there, CODEC, NOW).records] == [b"emea|settlement/card/S-2"]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2027-02-01", "26/11/2026", "2026-11-31"])
def test_a_day_on_which_no_gateway_pays_is_bad(day: str) -> None:
    found = read(GENERIC.replace("2026-11-27T08:00:00Z", day).splitlines(), "generic", "card").settlements
    bad = offered(found, SHOP, None, {}, CODEC, NOW).bad
    assert [(line, "settlement.paidAt" in text) for line, text in bad] == [(5, True)]


def test_lines_that_do_not_make_the_payout_are_bad_with_both_sides() -> None:
    found = read(GENERIC.replace("120.00,2.00", "120.00,2.50").splitlines(), "generic", "card").settlements
    ((line, text),) = offered(found, SHOP, None, {}, CODEC, NOW).bad
    assert line == 2
    assert "is 146.90 GBP, but the lines' amounts make 150.00 and their fees 3.60, which is 146.40" in text
