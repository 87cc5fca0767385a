"""`k2x init` and `k2x check` as a person uses them: what is wrong is named by file, line or key, with the remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.xero.sandbox.chart import demo_client_id, demo_client_secret
from k2x.cli import main
from streams.rules.document import load

_SMALL = 'accounts: {default: "200"}, payments: {"PayPal:GBP": "090"}, zero_tax: ZERORATEDOUTPUT'


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh `k2x init`, with the environment of nobody."""
    for name in (
        "XERO_SHOP_UK_SECRET",
        "KENTICO_MAIN_PASSWORD",
        "KENTICO_MAIN_WEBHOOK_SECRET",
        "KENTICO_MAIN_HINT_TOKEN",
    ):
        monkeypatch.setenv(name, "to be removed")  # so that what a test's k2x.env sets is undone
        monkeypatch.delenv(name)
    assert run("init", str(tmp_path)).exit_code == 0
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def check(shop: Path, *more: str) -> Result:
    return run("check", "--config", str(shop / "k2x.yaml"), *more)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_what_init_writes_passes_check_and_warns_of_placeholders(shop: Path) -> None:
    result = check(shop)
    assert result.exit_code == 0, result.output
    assert "XERO_SHOP_UK_SECRET still is CHANGE-ME" in result.output
    assert (shop / "k2x.env").stat().st_mode & 0o077 == 0


def test_the_examples_in_default_yaml_pass_check_as_soon_as_they_are_no_comments(shop: Path) -> None:
    rules = shop / "rules"
    text = (rules / "default.yaml").read_text("utf-8")
    _, _, after = text.partition("\n# Examples: ")
    _, _, examples = after.partition("\n#\n")
    commented, _, _ = examples.partition("\n\n")
    lines = commented.splitlines()
    assert [line for line in lines if not line.startswith("#")] == []
    plain = "\n".join(line[2:] for line in lines)
    for taken in ("settlements:", "posting:", "on_other_money:"):
        assert taken in plain
    (rules / "default.yaml").write_text(text.replace(commented, plain), "utf-8")
    second = "  main/MyManySmallOrders: {organisation: shop-uk}\n  main/MyShop:"
    edit(shop / "k2x.yaml", "  main/MyShop:", second)
    edit(
        rules / "shop-uk.yaml",
        "  main/MyShop:",
        f"  main/MyManySmallOrders: {{prefix: SMALL-, {_SMALL}}}\n  main/MyShop:",
    )
    assert check(shop).exit_code == 0, check(shop).output
    found = load(rules / "shop-uk.yaml")
    assert found.settlements["stripe:GBP"].clearing_account == found.stores["main/MyShop"].payments["Stripe:GBP"]
    assert found.stores["main/MyShop"].on_other_money == "reissue"
    small = found.stores["main/MyManySmallOrders"]
    assert (small.posting.mode, small.on_other_money) == ("summary", "hold")
    edit(rules / "default.yaml", "mode: summary, from", "mode: sumary, from")
    assert check(shop).exit_code == 1, "it is what was uncommented that is checked"


def test_init_overwrites_nothing(shop: Path) -> None:
    result = run("init", str(shop))
    assert result.exit_code == 1
    assert "--force" in result.output


def test_a_missing_secret_names_key_and_variable(shop: Path) -> None:
    edit(shop / "k2x.env", "XERO_SHOP_UK_SECRET=CHANGE-ME\n", "")
    result = check(shop)
    assert result.exit_code == 1
    assert "organisations.shop-uk.client_secret_env: set the environment variable XERO_SHOP_UK_SECRET" in result.output


def test_an_unknown_organisation_names_the_store_and_the_known_ones(shop: Path) -> None:
    edit(shop / "k2x.yaml", "organisation: shop-uk\n    prices", "organisation: shop-us\n    prices")
    result = check(shop)
    assert result.exit_code == 1
    assert "stores.main/MyShop.organisation: 'shop-us' is not under organisations (known: shop-uk)" in result.output


def test_bad_yaml_in_rules_names_file_and_line(shop: Path) -> None:
    edit(shop / "rules" / "shop-uk.yaml", "zero_tax: ZERORATEDOUTPUT", "zero_tax: [ZERORATEDOUTPUT")
    result = check(shop)
    assert result.exit_code == 1
    assert "rules/shop-uk.yaml" in result.output
    assert "bad YAML" in result.output


def test_an_unknown_rule_names_its_line(shop: Path) -> None:
    edit(shop / "rules" / "shop-uk.yaml", "    prefix: UK-", "    prefixx: UK-")
    result = check(shop)
    assert result.exit_code == 1
    assert "stores.main/MyShop.prefixx: there is no such rule" in result.output
    line = next(
        n
        for n, text in enumerate((shop / "rules" / "shop-uk.yaml").read_text("utf-8").splitlines(), 1)
        if "prefixx" in text
    )
    assert f":{line}" in result.output or f"{line}: stores" in result.output


def test_a_store_without_rules_is_named(shop: Path) -> None:
    with (shop / "k2x.yaml").open("a", encoding="utf-8") as file:
        file.write("")
    edit(shop / "k2x.yaml", "  main/MyShop:", "  main/Second: {organisation: shop-uk}\n  main/MyShop:")
    result = check(shop)
    assert result.exit_code == 1
    assert "no rules for main/Second" in result.output


@pytest.fixture(scope="module")
def xero() -> Iterator[str]:
    """A running Xero sandbox, without a state directory."""
    command = [sys.executable, "-m", "connectors.xero.sandbox", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield str(json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.wait(10)


def connect(shop: Path, xero: str) -> None:
    """Point the shop at the sandbox's British organisation, and take Kentico's REST away."""
    edit(shop / "k2x.yaml", '"00000000000000000000000000000000"', demo_client_id("uk"))
    edit(shop / "k2x.env", "XERO_SHOP_UK_SECRET=CHANGE-ME", f"XERO_SHOP_UK_SECRET={demo_client_secret('uk')}")
    text = (shop / "k2x.yaml").read_text("utf-8")
    begin, end = text.index("    rest:"), text.index("    webhook_secret_envs")
    addresses = f"xero: {{api_url: '{xero}/api.xro/2.0', token_url: '{xero}/connect/token'}}\n"
    (shop / "k2x.yaml").write_text(addresses + text[:begin] + text[end:], "utf-8")


def test_live_accepts_rules_that_fit_the_chart(shop: Path, xero: str) -> None:
    connect(shop, xero)
    result = check(shop, "--live")
    assert result.exit_code == 0, result.output
    assert "GBP; calls left today" in result.output


def test_live_names_summary_mode_to_a_shop_of_too_many_invoices(
    shop: Path, xero: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(shop, xero)
    monkeypatch.setattr("connectors.xero.volume.ADVISED", -1)
    result = check(shop, "--live")
    assert result.exit_code == 0, result.output
    assert "warning  organisations.shop-uk: 0 sales invoices in the last 30 days" in result.output
    assert "Consider summary mode" in result.output


def test_live_names_a_wrong_account_in_a_rule(shop: Path, xero: str) -> None:
    connect(shop, xero)
    edit(shop / "rules" / "shop-uk.yaml", 'default: "200"', 'default: "777"')
    result = check(shop, "--live")
    assert result.exit_code == 1
    assert "accounts.default: account 777 does not exist" in result.output
    assert "rules/shop-uk.yaml" in result.output


def test_live_says_which_credentials_xero_refuses(shop: Path, xero: str) -> None:
    connect(shop, xero)
    edit(shop / "k2x.env", demo_client_secret("uk"), "wrong")
    result = check(shop, "--live")
    assert result.exit_code == 1
    assert "organisations.shop-uk" in result.output


def test_one_process_without_a_broker_says_what_to_do(shop: Path) -> None:
    result = run("run", "sink", "--config", str(shop / "k2x.yaml"))
    assert result.exit_code == 1
    assert "k2x up" in result.output


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "check",
        "demo",
        "up",
        "run",
        "topics",
        "rules",
        "dlt",
        "reconcile",
        "trace",
        "xero",
        "xero-sandbox",
        "kentico-sandbox",
    ],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("settlement_id,currency\nS\u00e9,GBP\n".encode("latin-1"), "is not UTF-8 (byte 24): save it anew"),
        (
            b'settlement_id,currency,paid_at,payout,type,amount\n"' + b"x" * 200_000,
            "is no CSV file that can be read: field larger",
        ),
    ],
)
def test_a_file_of_settlements_that_is_none_is_said_in_one_sentence(shop: Path, content: bytes, says: str) -> None:
    file = shop / "payouts.csv"
    file.write_bytes(content)
    config = ("--config", str(shop / "k2x.yaml"))
    result = run("settlements", "import", str(file), "--instance", "main", "--gateway", "card", *config)
    assert result.exit_code == 1
    assert says in result.output
