"""Every case of settlements/: a gateway's settlement in, the exact Xero documents out, and what its accounts hold then.

A case goes the way a settlement goes: webhook event → connectors.kentico → Avro → streams.workflow → Avro → the sink's
bytes → Xero's sandbox. `holds` is what each account has afterwards: the clearing account less what its orders had
brought in (gross), the bank account exactly what its statement shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from connectors.kentico import events
from connectors.kentico.errors import FieldError
from connectors.kentico.settings import InstanceSettings
from connectors.xero.core.state import UNNUMBERED, Step
from connectors.xero.sandbox import Sandbox
from connectors.xero.sandbox.bank import balances
from connectors.xero.sandbox.chart import organisation_from
from schemas.codec import Codec
from schemas.ids import CommittedIds
from schemas.types import Command, Payout, Settlement
from streams.flow import Refused, Suppressed
from streams.rules.marks import parse
from streams.rules.model import RulesDocument
from streams.workflow import Workflow, compile_store
from tests.golden.case import expanded
from tests.golden.judge import same, says
from tests.golden.xero import Books, amount, running

HERE = Path(__file__).parent / "settlements"
DEFAULT = parse((Path(__file__).parents[2] / "rules" / "default.yaml").read_text("utf-8"), "default.yaml").data
CODEC = Codec(CommittedIds())
_KNOWN = frozenset({"shows", "org", "settlement", "site", "rules", "expect"})
_EXPECTED = frozenset(
    {"bank_transaction", "lines", "transfer", "xero", "sums", "holds", "refused", "suppressed", "invalid"}
)


@dataclass(frozen=True)
class Case:
    name: str
    org: Mapping[str, Any]
    site: str | None
    settlement: Mapping[str, Any]
    rules: Mapping[str, Any]
    expect: Mapping[str, Any]


def read(path: Path) -> Case:
    whole = expanded(parse(path.read_text("utf-8"), path.name).data)
    assert set(whole) <= _KNOWN, f"{path.name}: unknown keys {sorted(set(whole) - _KNOWN)}"
    assert set(whole["expect"]) <= _EXPECTED, f"{path.name}: unknown expectations {sorted(whole['expect'])}"
    org = {"template": "uk", "currencies": ["GBP", "USD", "EUR"], **whole.get("org", {})}
    slug = f"settled-{path.stem}"
    return Case(path.stem, {**_plain(org), "slug": slug, "name": f"Golden {path.stem}"}, whole.get("site"),
                _plain(whole["settlement"]), whole["rules"], whole["expect"])  # fmt: skip


def _plain(value: Any) -> Any:
    """As a sender writes it: decimals as text."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value if value is None or isinstance(value, int | str) else str(value)


CASES = [read(path) for path in sorted(HERE.glob("*.yaml"))]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running([organisation_from(case.org) for case in CASES]) as started:
        yield started


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 12


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, sandbox: Sandbox) -> None:
    books = Books(sandbox, str(case.org["slug"]), settles=True)
    try:
        _judge(case, books, sandbox)
    finally:
        books.close()


def test_a_case_that_expects_anything_else_fails(sandbox: Sandbox) -> None:
    honest = next(case for case in CASES if case.name == "charges-and-a-refund")
    for key, value in (
        ("transfer", {**honest.expect["transfer"], "Amount": Decimal("1.00")}),
        ("lines", [{**honest.expect["lines"][0], "AccountCode": "405"}]),
        ("holds", {"092": Decimal("0.01")}),
        ("refused", {"class": "mapping", "code": "settlement_unmapped"}),
    ):
        books = Books(sandbox, str(honest.org["slug"]), settles=True)
        changed = Case(
            honest.name, honest.org, honest.site, honest.settlement, honest.rules, {**honest.expect, key: value}
        )
        with pytest.raises(AssertionError):
            _judge(changed, books, sandbox)
        books.close()


def _judge(case: Case, books: Books, sandbox: Sandbox) -> None:
    expect = case.expect
    if "invalid" in expect:
        with pytest.raises(FieldError, match=expect["invalid"]):
            _event(case)
        return
    made = _flow(case, books).settlement(_event(case), datetime.fromisoformat("2026-11-30T00:00:00+00:00"))
    if "refused" in expect:
        assert isinstance(made, Refused), made
        assert str(made.reason.error_class) == expect["refused"]["class"]
        says(f"{made.reason.message}\n{made.reason.hint}", made.reason.code, expect["refused"])
        return
    if "suppressed" in expect:
        assert isinstance(made, Suppressed), made
        says(made.message, made.code, expect["suppressed"])
        return
    assert isinstance(made, dict), made
    command = cast(Command, CODEC.decode(CODEC.encode("command", made)))
    assert command["kind"] == "SETTLEMENT"
    body = cast(Payout, command["body"])
    _documents(body, expect)
    before = _held(sandbox, case)
    _posted(books, body, expect)
    after = _held(sandbox, case)
    for code, value in expect["holds"].items():
        assert after.get(str(code), 0) - before.get(str(code), 0) == value, f"account {code}"


def _event(case: Case) -> Settlement:
    envelope = {
        "specVersion": 1, "eventId": case.name, "eventType": "settlement.paid", "instance": "emea",
        "occurredAt": "2026-11-27T08:00:00Z", "siteName": case.site, "objectType": "gateway.settlement",
        "schema": "k13", "data": {"settlement": case.settlement},
    }  # fmt: skip
    received = datetime.fromisoformat("2026-11-27T08:00:01+00:00")
    instance = InstanceSettings(name="emea", time_zone="Europe/London")
    routed = events.route(orjson.loads(orjson.dumps(envelope)), "", instance, received, None)
    assert routed.schema == "settlement"
    return cast(Settlement, CODEC.decode(CODEC.encode("settlement", routed.value)))


def _flow(case: Case, books: Books) -> Workflow:
    store = "emea/GoatUK"
    stores = {store: {**DEFAULT["defaults"], **(case.rules.get("store") or {})}}
    document = RulesDocument.model_validate(
        {**DEFAULT, "organisation": case.org["slug"], "stores": stores, "settlements": case.rules["settlements"]}
    )
    assert document.faults() == []
    return Workflow(compile_store(document, books.reference(), store=store, rules_version=1))


def _documents(body: Payout, expect: Mapping[str, Any]) -> None:
    """The command's documents, field by field."""
    assert (body["bank_transaction"] is not None) is ("bank_transaction" in expect)
    assert (body["transfer"] is not None) is ("transfer" in expect)
    same({"gross": body["gross"], "fees": body["fees"], "payout": body["payout"]}, expect["sums"], "sums")
    if body["bank_transaction"]:
        document = orjson.loads(body["bank_transaction"])
        assert document.pop("BankAccount") == {"AccountID": body["clearing_account"]}
        lines = document.pop("LineItems")
        same(document, {"Status": "AUTHORISED", "LineAmountTypes": "Inclusive", **expect["bank_transaction"]}, "fees")
        assert len(lines) == len(expect["lines"]), lines
        for line, wanted in zip(lines, expect["lines"], strict=True):
            same(line, {"Quantity": 1, **wanted}, "line")
    if body["transfer"]:
        document = orjson.loads(body["transfer"])
        ends = [document.pop(name)["AccountID"] for name in ("FromBankAccount", "ToBankAccount")]
        own = [body["clearing_account"], body["bank_account"]]
        assert ends == (own if Decimal(body["payout"]) > 0 else own[::-1])
        same(document, expect["transfer"], "payout")


def _posted(books: Books, body: Payout, expect: Mapping[str, Any]) -> None:
    """The sink's own bytes, and Xero's arithmetic."""
    for step, element in zip(UNNUMBERED, (body["bank_transaction"], body["transfer"]), strict=True):
        if element is None:
            continue
        made = books.write(step, element)
        if step is Step.BANK_TRANSACTION:
            assert (amount(made["Total"]), amount(made["TotalTax"])) == (
                Decimal(body["transaction_total"]),
                Decimal(body["transaction_tax"]),
            )
            for key, value in expect["xero"].items():
                assert str(made[key]) == str(value) or amount(made[key]) == value, key


def _held(sandbox: Sandbox, case: Case) -> dict[str, Decimal]:
    books = sandbox.world.books[str(case.org["slug"])]
    return {books.org.accounts_by_id[id_].code: value for id_, value in balances(books).items()}
