"""Rules for a shop's own columns: what cannot be meant is refused when the file is read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from streams.rules.model import FieldRule, StoreRules


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"from": "OrderX", "to": "tracking"}, "`category` goes with `to: tracking`"),
        ({"from": "OrderX", "to": "reference", "category": "Channel"}, "`category` goes with `to: tracking`"),
        ({"from": "OrderX", "to": "reference", "otherwise": "Web"}, "are for `to: tracking`"),
        ({"from": "OrderX", "to": "tracking", "category": "C", "label": "x"}, "`label` is for `to: description`"),
        ({"from": "item.BatchName", "to": "reference"}, "an invoice has one Reference and many items"),
        ({"from": "item.", "to": "description"}, "name a column behind the dot"),
        ({"from": "OrderX", "to": "memo"}, "Input should be 'reference', 'tracking' or 'description'"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FieldRule.model_validate(given)


@pytest.mark.parametrize(
    ("column", "place"),
    [
        ("OrderPONumber", ("order", "OrderPONumber")),
        ("OrderCustomData.costCentre", ("order", "OrderCustomData.costCentre")),
        ("item.BatchName", ("item", "BatchName")),
        ("customer.CustomerRegion", ("customer", "CustomerRegion")),
    ],
)
def test_whose_column_it_is(column: str, place: tuple[str, str]) -> None:
    assert FieldRule.model_validate({"from": column, "to": "description"}).place == place


def test_two_categories_at_most_whoever_names_them() -> None:
    fields = [{"from": "OrderX", "to": "tracking", "category": name} for name in ("Channel", "Region")]
    assert len(StoreRules.model_validate({"fields": fields, "tracking": {"Region": "North"}}).fields) == 2
    with pytest.raises(ValidationError, match="name 3 categories"):
        StoreRules.model_validate({"fields": fields, "tracking": {"Third": "x"}})


def test_a_number_as_a_value_needs_no_quotes() -> None:
    given = {"from": "OrderType", "to": "tracking", "category": "Channel", "options": {3: "Web"}}
    assert FieldRule.model_validate(given).options == {"3": "Web"}
