"""A reconciliation as a person, a script and a spreadsheet read it; and the command's exit codes."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from k2x.audit import page, progress
from k2x.audit.finding import Finding
from k2x.audit.judge import Verdict
from k2x.audit.reconcile import Outcome
from k2x.audit.scratch import Scratch
from k2x.audit.summary import Summary
from k2x.cli import main
from k2x.shipped import rules_dir
from tests.k2x.audit.files import DAY, T0, invoice

HUNDRED = Decimal("100.00")


def order(number: int, state: str = "posted", days: int = 0, **changes: object) -> Verdict:
    made: dict[str, object] = {
        "day": DAY + timedelta(days=days),
        "currency": "GBP",
        "kentico": HUNDRED if state in ("posted", "lost") else Decimal(0),
        "xero": HUNDRED if state == "posted" else Decimal(0),
    }
    return Verdict(f"emea|{number}", "uk", "emea/GoatUK", state, **{**made, **changes})  # type: ignore[arg-type]


def finding(code: str, number: int) -> Finding:
    return Finding(code, "uk", "emea/GoatUK", f"emea|{number}", f"UK-{number}", f"what was found of {number}", DAY)


@pytest.fixture
def outcome() -> Iterator[Outcome]:
    made = Outcome(Summary(), Scratch(), T0, {"uk": 12}, records=3456)
    for verdict in (
        order(1),
        order(2, days=1, held=True),
        order(3, "suppressed"),
        order(4, "dead_lettered"),
        order(5, "in_flight", kentico=Decimal(0)),
        order(6, "lost", findings=(finding("no_trace", 6),)),
        order(7, xero=Decimal("250.00"), findings=(finding("duplicate_invoice", 7), finding("amount", 7))),
    ):
        made.summary.order(verdict)
        made.scratch.add_findings(verdict.findings)
    stray = Finding("foreign_invoice", "uk", "emea/GoatUK", "", "UK-999", "nobody's", DAY)
    made.summary.stray(stray, invoice(id="i-9", number="UK-999", total=Decimal("9.50")))
    made.scratch.add_findings([stray])
    yield made
    made.close()


def test_each_order_is_counted_once_by_its_end_and_each_finding_by_its_kind(outcome: Outcome) -> None:
    file = io.StringIO()
    page.write_json(outcome, file)
    found = json.loads(file.getvalue())
    ends = ("posted", "suppressed", "dead_lettered", "waiting", "parked", "in_flight", "lost")
    assert sum(found[end] for end in ends) == found["orders"] == 7
    assert {name: found[name] for name in ("lost", "doubled", "drifted", "unmatched", "stuck", "held")} == {
        "lost": 1, "doubled": 1, "drifted": 1, "unmatched": 1, "stuck": 0, "held": 1,
    }  # fmt: skip
    assert found["money"] == {"GBP": {"kentico": "400.00", "xero": "459.50"}}
    assert found["clean"] is False
    assert [day["day"] for day in found["days"]] == ["2026-11-24", "2026-11-25"]
    assert [f["code"] for f in found["findings"]] == ["no_trace", "duplicate_invoice", "amount", "foreign_invoice"]
    assert found["findings"][0]["next"].startswith("See `k2x trace emea/GoatUK/6`, then")
    assert found["findings"][3]["order"] is None


def test_the_page_says_counts_money_findings_and_what_to_do(outcome: Outcome) -> None:
    text = page.page(outcome)
    for words in (
        "As of 2026-11-24 12:00:00 UTC. Kafka: 3,456 records. Calls to Xero: uk 12.",
        "LOST: 1 finding, 1 affected",
        "no_trace  uk  emea/GoatUK  emea|6  UK-6",
        "what was found of 6",
        "→ Void the copy in Xero",
        "The books do not agree: 1 lost, 1 doubled, 1 drifted, 1 unmatched.",
    ):
        assert words in text
    lines = text.splitlines()
    (money,) = [line for line in lines if line.split()[:3] == ["uk", "emea/GoatUK", "GBP"]]
    assert money.split()[3:] == ["400.00", "459.50", "59.50"]
    (total,) = [line for line in lines if line.startswith("all ")]
    assert total.split() == ["all", "7", "3", "1", "1", ".", ".", "1", "1", "1", "1", "1", "1", "."]


def test_a_thousand_findings_and_days_do_not_fill_the_screen_but_the_files(outcome: Outcome) -> None:
    for number in range(1000):
        verdict = order(100 + number, "lost", days=number, findings=(finding("no_trace", 100 + number),))
        outcome.summary.order(verdict)
        outcome.scratch.add_findings(verdict.findings)
    for number in range(100):
        outcome.summary.order(order(2000 + number, days=2000 + number))
    text = page.page(outcome)
    assert "LOST: 1,001 findings, 1,001 affected" in text
    assert "… and 951 more: --csv or --json has all of them." in text
    assert "2032" not in text, "days without findings are in the file only"
    assert "all days" in text
    file = io.StringIO()
    page.write_findings(outcome, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(rows) == 1004
    assert {row["kind"] for row in rows} == {"lost", "doubled", "drifted", "unmatched"}
    file = io.StringIO()
    page.write_days(outcome, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert sum(int(row["orders"] or 0) for row in rows) == 1107
    assert sum(Decimal(row["kentico"] or 0) for row in rows) == 400 + 1000 * HUNDRED + 100 * HUNDRED


def test_books_that_agree_and_books_that_could_not_be_read(outcome: Outcome) -> None:
    clean = Outcome(Summary(), Scratch(), T0)
    clean.summary.order(order(1))
    clean.summary.order(order(2, "in_flight"))
    assert page.page(clean).endswith("The books agree: 2 orders, nothing is off. 1 on their way.")
    assert page.as_json(clean)["clean"] is True
    clean.not_done["de"] = "de: Xero's day limit is reached."
    assert page.page(clean).endswith("NOT DONE  de: Xero's day limit is reached.\n\nNot all could be reconciled: de.")
    assert page.as_json(clean)["clean"] is False
    clean.close()


# -- the command ----------------------------------------------------------------------------------------------------

CONFIG = """\
kafka: {bootstrap: "127.0.0.1:9"}
organisations: {shop-uk: {client_id: "0", client_secret_env: NONE, rules: shop-uk.yaml}}
instances: {main: {time_zone: Europe/London}}
stores: {main/MyShop: {organisation: shop-uk}}
"""
RULES = """\
extends: default
organisation: shop-uk
stores:
  main/MyShop: {prefix: UK-, accounts: {default: "200"}, payments: {"Card:GBP": "090"}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "shop-uk.yaml").write_text(RULES, "utf-8")
    shutil.copy(rules_dir() / "default.yaml", tmp_path)
    path = tmp_path / "k2x.yaml"
    path.write_text(CONFIG, "utf-8")
    return path


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["reconcile", "--config", str(config), *arguments])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--org", "nobody"), 2, "--org nobody: no store feeds it; there are shop-uk"),
        (("--store", "main/Other"), 2, "--store main/Other: not in k2x.yaml; there are main/MyShop"),
        (("--order", "other/7"), 2, "--order other/7: write store/OrderID; instances are main"),
        (("--since", "yesterday"), 2, "'yesterday' is no day: write it like 2026-11-24"),
        (("--grace", "-1"), 2, "--grace"),
    ],
)
def test_wrong_use_is_said_in_one_sentence_and_is_never_code_1(
    config: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    found = run(config, *arguments)
    assert (found.exit_code, words in found.output) == (code, True), found.output
    assert "Traceback" not in found.output


def test_without_a_broker_it_could_not_be_done(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_TIMEOUT_S", 0.5)
    found = run(config)
    assert found.exit_code == 3
    assert found.output.startswith("k2x: Kafka does not")
