"""What another system is told of a result, and what it is not."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import SecretStr

from connectors.confirm.events import event, what_of
from connectors.confirm.settings import Target
from schemas.types import Result
from tests.connectors.confirm.test_confirm import result

TARGET = Target(name="erp", url="https://erp.example", secret=SecretStr("s" * 16))


@pytest.mark.parametrize(("outcome", "what"), [("POSTED", "posted"), ("REFUSED", "refused"), ("HELD", "held")])
def test_a_daily_summary_is_told_as_what_it_is(outcome: str, what: str) -> None:
    told: Any = result(1, outcome, "summary", number="UK-S20261124-GBP")
    told["order_id"] = "Shop/S20261124-GBP"
    assert what_of(cast(Result, told), TARGET) == what
    made = event(cast(Result, told), cast(Any, what), "id")
    assert (made["eventType"], made["orderId"]) == (f"summary.{what}", "Shop/S20261124-GBP")
    assert made["document"]["number"] == "UK-S20261124-GBP"


def test_an_order_that_is_collected_is_told_when_its_day_is_posted() -> None:
    assert what_of(cast(Result, result(1, "WAITING", "order")), TARGET) is None
    assert what_of(cast(Result, result(1, "POSTED", "order")), TARGET) == "posted"
