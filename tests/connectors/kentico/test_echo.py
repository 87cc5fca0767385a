"""The digest by which our own write-backs and unchanged objects are known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connectors.kentico.aggregate import Facts
from connectors.kentico.echo import digest
from connectors.kentico.events import ORDER, build
from schemas.codec import Codec
from schemas.errors import NotEncodable
from tests.connectors.kentico.samples import NOW, SHOP, data

NONE: frozenset[str] = frozenset()


def test_it_is_of_the_content_whatever_its_order_and_without_what_is_ignored() -> None:
    one = {"order": {"OrderID": 1, "OrderNote": "a", "OrderTotalPrice": Decimal("9.90")}}
    other = {"order": {"OrderTotalPrice": Decimal("9.90"), "OrderNote": "a", "OrderID": 1}}
    assert digest(one, "order", NONE) == digest(other, "order", NONE)
    other["order"]["OrderNote"] = "b"
    assert digest(one, "order", NONE) != digest(other, "order", NONE)
    assert digest(one, "order", frozenset({"OrderNote"})) == digest(other, "order", frozenset({"OrderNote"}))


def test_half_an_emoji_is_a_dead_letter_and_no_crash(codec: Codec) -> None:
    """A column that is too short cuts a pair of surrogates; polling must not stop at such an order for good."""
    cut: dict[str, Any] = data()
    cut["items"][0]["OrderItemSKUName"] = "Plunger \ud83d"
    assert digest(cut, "order", NONE) != digest(data(), "order", NONE)
    assert digest(cut, "order", NONE) == digest(cut, "order", NONE)
    with pytest.raises(NotEncodable, match="order"):
        codec.encode("order", build(ORDER, cut, Facts(SHOP, "order.updated", "REST", NOW, NOW)))
