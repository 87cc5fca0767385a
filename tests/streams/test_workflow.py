"""The document's steps are what runs; the compiler takes published rules and reference rows."""

from __future__ import annotations

import json
from typing import Any, cast

import orjson
import pytest

from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import RulesVersion
from streams.errors import NotUsable
from streams.flow import Suppressed
from streams.rules.document import resolve
from streams.rules.operators import OPERATORS
from streams.workflow import BOUND, Workflow, WorkflowCompiler, compile_store, run
from tests.streams.samples import reference as reference_row
from tests.streams.transform.example import DEFAULT, NOW, order, reference, refusal, rules, store
from tests.streams.transform.sandboxes import organisations, rows_of


def test_every_operator_is_bound_and_no_other() -> None:
    assert OPERATORS.keys() == BOUND


def test_a_sale_is_a_command_as_the_schema_has_it() -> None:
    codec = Codec(CommittedIds())
    made: Any = Workflow(store()).order(order(), NOW)
    assert made["command_id"] == "emea|28@1793614530123456"
    assert (made["kind"], made["key"], made["store"], made["order_id"]) == ("SALE", "emea|28", "emea/Goat", "28")
    assert codec.decode(codec.encode("command", made))["body"]["money_hash"] == made["body"]["money_hash"]


def test_the_trace_tells_each_step_and_what_it_gave() -> None:
    outcome = run(order(), store(), NOW, trace=True)
    uses = [step.use for step in outcome.trace]
    assert uses == [step.use for step in DEFAULT.workflow if step.use != "write_back.columns"]
    shown = {step.use: step.shows for step in outcome.trace}
    assert shown["lookup.dates"] == {"date": "2026-11-02", "due_date": "2026-11-02"}
    assert shown["lookup.tax"]["lines"][0]["tax_type"] == "OUTPUT2"
    assert outcome.trace[-1].outcome == "command"
    json.dumps([dict(step.shows) for step in outcome.trace])
    assert run(order(), store(), NOW).trace == ()


def test_the_trace_ends_where_the_order_ends() -> None:
    refused = run(order(items=[]), store(), NOW, trace=True)
    assert (refused.trace[-1].use, refused.trace[-1].outcome) == ("gate.complete", "refused")
    assert refused.trace[-1].shows["code"] == "no_lines"
    unpaid = run(order({"OrderIsPaid": False}), store(), NOW, trace=True)
    assert (unpaid.trace[-1].use, unpaid.trace[-1].outcome) == ("gate.paid", "suppressed")


def test_a_refusal_names_the_step_as_the_document_does() -> None:
    made: Any = Workflow(store({"accounts": {"default": "999"}})).order(order(), NOW)
    assert made.step == "Accounts are usable"


def test_without_a_posting_step_nothing_is_posted() -> None:
    steps = [one.model_dump(by_alias=True) for one in DEFAULT.workflow if one.use != "post.sale"]
    made = Workflow(store(workflow=steps)).order(order(), NOW)
    assert isinstance(made, Suppressed)
    assert made.code == "workflow_without_post"


def test_items_to_create_go_before_the_sale() -> None:
    made = Workflow(store({"unknown_item": "create_untracked"})).order(order(), NOW)
    assert isinstance(made, tuple)
    assert [one["kind"] for one in made] == ["ITEM", "ITEM", "SALE"]


def test_a_store_needs_rules_and_a_known_time_zone() -> None:
    with pytest.raises(NotUsable, match="no store 'emea/Other'"):
        compile_store(rules(), reference(), store="emea/Other", rules_version=1)
    with pytest.raises(NotUsable, match=r"'MOON', .*stores\.emea/Goat\.time_zone"):
        compile_store(rules(), reference(Timezone="MOON"), store="emea/Goat", rules_version=1)
    assert (
        refusal(order(items=[]), store({"time_zone": "Europe/Berlin"}, of=reference(Timezone="MOON"))).code
        == "no_lines"
    )


def test_the_compiler_reads_what_is_on_the_topics() -> None:
    org = organisations()["uk"]
    rows = {
        (kind, code): cast(Any, reference_row("uk", kind, code, orjson.dumps(document).decode()))
        for kind, code, document in rows_of(org)
    }
    version = cast(RulesVersion, {"org": "uk", "version": 5, "document": resolve(DEFAULT)})
    flows = WorkflowCompiler().compile("uk", ["emea/GoatUK"], rows, version)
    assert flows["emea/GoatUK"].store.rules_version == 5
    with pytest.raises(NotUsable, match="no ORGANISATION row"):
        WorkflowCompiler().compile("uk", ["emea/GoatUK"], {}, version)
    broken = cast(RulesVersion, {**version, "document": '{"organisation": "uk", "surprise": 1}'})
    with pytest.raises(NotUsable, match="published rules: surprise: there is no such rule"):
        WorkflowCompiler().compile("uk", ["emea/GoatUK"], rows, broken)
