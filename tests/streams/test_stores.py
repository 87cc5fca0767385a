"""Which flow an order takes, and what one store's missing rules cost the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.types import RulesVersion
from streams.errors import NotUsable
from streams.flow import Refused
from streams.metrics import Metrics
from streams.reference_copy import Rows
from streams.settings import StreamsSettings
from streams.stores import Stores
from tests.streams import samples
from tests.streams.fakes import NotedCompiler, NotedFlow

STORES = {"emea/GoatUK": "uk", "emea/B2B": "uk", "apac/GoatAU": "au"}
ROWS: Any = {("ACCOUNT", "200"): samples.reference("uk", "ACCOUNT", "200")}


class Picky(NotedCompiler):
    """Has no rules for B2B; an odd document makes it fail as a bug would."""

    def compile(self, org: str, stores: Sequence[str], rows: Rows, rules: RulesVersion) -> Mapping[str, NotedFlow]:
        if rules["document"] == "odd":
            raise KeyError("AccountID")
        if "emea/B2B" in stores:
            raise NotUsable("the rules of uk have no store 'emea/B2B'")
        return super().compile(org, stores, rows, rules)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(StreamsSettings(kafka={}, stores=STORES, data_dir=tmp_path), Picky(), Metrics())


def _rules(version: int, document: str = "{}") -> Any:
    return samples.rules("uk", version, document)


def test_both_parts_are_needed_and_either_can_be_withdrawn(stores: Stores) -> None:
    changes: list[bool] = []
    stores.on_change(lambda: changes.append(stores.ready("uk")))
    stores.set_rules("uk", _rules(1))
    assert not stores.ready("uk")
    stores.set_reference("uk", ROWS)
    assert stores.ready("uk")
    assert not stores.ready("au")
    stores.set_reference("uk", None)
    assert changes == [False, True, False]


def test_a_store_without_rules_is_refused_and_the_others_go_on(stores: Stores) -> None:
    stores.set_rules("uk", _rules(1))
    stores.set_reference("uk", ROWS)
    route = stores.route("emea", "B2B")
    assert route is not None
    assert route.flow is not None
    order: Any = samples.order(5, site="B2B")
    made = route.flow.order(order, samples.START)
    assert isinstance(made, Refused)
    assert (made.reason.code, made.reason.natural_key, made.reason.org) == ("no_rules", "emea|5", "uk")
    good = stores.route("emea", "GoatUK")
    assert good is not None
    assert isinstance(good.flow, NotedFlow)


def test_rules_that_fail_leave_the_version_before_in_use(stores: Stores) -> None:
    stores.set_rules("uk", _rules(1))
    stores.set_reference("uk", ROWS)
    before = stores.route("emea", "GoatUK")
    stores.set_rules("uk", _rules(2, "odd"))
    assert stores.route("emea", "GoatUK") is before


def test_routes_by_name_by_only_store_and_not_at_all(stores: Stores) -> None:
    only = stores.route("apac", None)
    assert only is not None
    assert only.store == "apac/GoatAU"
    assert stores.route("emea", None) is None
    assert stores.route("emea", "Nowhere") is None
    assert [route.store for route in stores.of_org("emea", "uk")] == ["emea/B2B", "emea/GoatUK"]
    reason = stores.unknown("emea", "Nowhere", "emea|1")
    assert "apac/GoatAU, emea/B2B, emea/GoatUK" in reason.message
    assert stores.ready("an-organisation-no-longer-configured")
