"""Kentico's sandbox shop through the demo's rules into Xero's sandbox books: judges that know nothing of our code."""

from __future__ import annotations

from collections import Counter

import pytest

from connectors.kentico.sandbox.scenarios import SCENARIOS
from connectors.xero.sandbox.chart import default_organisations
from streams.flow import Refused
from streams.rules.document import load
from streams.workflow import run
from tests.streams.transform.sandboxes import NOW, RULES, Judge, order, orders, reference, stores

CODES = {
    "refused:unknown_account": "account_unknown",
    "refused:unmapped_payment": "payment_unmapped",
    "refused:unbalanced": "unbalanced",
    "refused:odd_tax_rate": "tax_type_missing",
    "refused:locked_period": "locked_period",
}
STORES = stores()


@pytest.mark.parametrize("kind", sorted(SCENARIOS))
def test_every_kind_of_order_is_posted_to_the_cent_or_refused_for_its_own_reason(kind: str) -> None:
    expected = SCENARIOS[kind].expected
    judge = Judge()
    for number in range(8):
        made = order(kind, f"test {number}", 1001 + number)
        store = STORES[f"{made['instance']}/{made['site_name']}"]
        outcome = run(made, store, NOW).made
        if expected in CODES:
            assert isinstance(outcome, Refused)
            assert outcome.reason.code == CODES[expected]
            continue
        assert isinstance(outcome, dict), outcome
        posted = judge.post(outcome)
        row = made["order"]
        assert (posted.status, posted.total, posted.total_tax) == ("PAID", row["OrderTotalPrice"], row["OrderTotalTax"])
        assert posted.number == f"{store.rules.prefix}{row['OrderID']}"


def test_a_mixed_day_in_the_shops() -> None:
    judge, seen = Judge(), Counter[str]()
    for _, made in orders("day", 150):
        outcome = run(made, STORES[f"{made['instance']}/{made['site_name']}"], NOW).made
        assert isinstance(outcome, dict), outcome
        posted = judge.post(outcome)
        assert (posted.total, posted.total_tax) == (made["order"]["OrderTotalPrice"], made["order"]["OrderTotalTax"])
        seen[outcome["org"]] += 1
    assert set(seen) == {"uk", "de", "au"}


def test_the_demos_rules_name_nothing_that_xero_lacks_but_what_shall_fail() -> None:
    for org in default_organisations():
        wrong = load(RULES / f"{org.slug}.yaml").unknown_in(reference(org))
        assert [one for one in wrong if "BAD-ACCT" not in one] == []
        assert len(wrong) == 1
