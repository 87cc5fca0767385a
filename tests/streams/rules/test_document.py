"""Rules files: what is read, merged and published, and how each fault is named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from streams.rules.document import RulesDocument, RulesInvalid, UnknownStore, from_json, load, resolve

SHIPPED = Path(__file__).parents[3] / "rules"
SHOP = """\
extends: default
organisation: shop-uk
defaults:
  accounts:
    default: 200
    tax_class: {Zero rated: "205"}
  zero_tax: ZERORATEDOUTPUT
stores:
  main/MyShop:
    prefix: UK-
    accounts:
      sku: {GIFT-*: "260"}
    tax:
      - {class: "VAT 20%", rate: 20, tax_type: OUTPUT2}
      - {class: Odd, rate: 12.5, country: NO, from: 2026-01-01, tax_type: X}
"""


def read(tmp_path: Path, text: str) -> RulesDocument:
    (tmp_path / "default.yaml").write_text((SHIPPED / "default.yaml").read_text("utf-8"), "utf-8")
    (tmp_path / "shop.yaml").write_text(text, "utf-8")
    return load(tmp_path / "shop.yaml")


def faults(tmp_path: Path, text: str) -> list[str]:
    """Each fault's line, file and folder taken off."""
    with pytest.raises(RulesInvalid) as raised:
        read(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/") for line in str(raised.value).splitlines()]


def test_a_stores_rules_are_default_file_and_store_merged(tmp_path: Path) -> None:
    document = read(tmp_path, SHOP)
    store = document.store("main/MyShop")
    assert (store.prefix, store.rounding_limit, store.products.mode) == ("UK-", 50, "off")
    assert (store.accounts.default, store.accounts.sku, store.accounts.tax_class) == (
        "200",
        {"GIFT-*": "260"},
        {"Zero rated": "205"},
    )
    odd = store.tax[1]
    assert (odd.rate, odd.country, odd.from_) == (Decimal("12.5"), ("NO",), date(2026, 1, 1))
    assert document.contact_prefix("main") == "main-"
    assert document.workflow[0].use == "trigger.order"


def test_a_mapping_with_nothing_under_it_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, SHOP.replace('      sku: {GIFT-*: "260"}', "")).store("main/MyShop").accounts.default == "200"


def test_published_text_is_canonical_and_read_back(tmp_path: Path) -> None:
    document = read(tmp_path, SHOP)
    text = resolve(document)
    assert from_json(text) == document
    assert resolve(from_json(text)) == text
    assert resolve(read(tmp_path, SHOP.replace("zero_tax: Z", "zero_tax:   Z"))) == text


@pytest.mark.parametrize("org", ["uk", "au", "de"])
def test_the_demos_rules_are_valid(org: str) -> None:
    document = load(SHIPPED / f"{org}.yaml")
    assert document.organisation == org
    assert all(rules.prefix for rules in document.stores.values())


def test_unknown_stores_are_named() -> None:
    with pytest.raises(UnknownStore, match=r"no store 'emea/No' \(known: emea/GoatUK, seed2021/SeedUK\)"):
        load(SHIPPED / "uk.yaml").store("emea/No")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("prefix: UK-", "prefx: UK-", "shop.yaml:10: stores.main/MyShop.prefx: there is no such rule"),
        ("prefix: UK-", "prefix: UK/1", "shop.yaml:10: stores.main/MyShop.prefix: 'UK/1': use up to 20 letters"),
        ("prefix: UK-", "due_days: soon", "shop.yaml:10: stores.main/MyShop.due_days: 'soon'"),
        ("prefix: UK-", "time_zone: Mars", "shop.yaml:10: stores.main/MyShop.time_zone: 'Mars' is no IANA time zone"),
        ("prefix: UK-", "cutover: 2026-02-30", "shop.yaml:10: stores.main/MyShop.cutover: 2026-02-30 is no day"),
        ("prefix: UK-", "payments: {PayPal: 1}", "payments: 'PayPal': write PaymentOptionName:CUR"),
        ("prefix: UK-", "gift_card_accounts: {gbp: 1}", "gift_card_accounts: 'gbp': write a currency's"),
        ("prefix: UK-", "unknown_item: ignore", "unknown_item: 'ignore': use 'line_without_item'"),
        ("prefix: UK-", "tracking: {A: a, B: b, C: c}", "shop.yaml:10: stores.main/MyShop.tracking"),
        ("  zero_tax: Z", "  zerotax: Z", "shop.yaml:7: defaults.zerotax: there is no such rule"),
        ("rate: 20,", "rate: 120,", "shop.yaml:14: stores.main/MyShop.tax.0.rate"),
        ("rate: 20,", "country: gb, rate: 20,", "tax.0.country: 'gb': use a country's two capital letters"),
        ('class: "VAT 20%", rate: 20,', "", "shop.yaml:14: stores.main/MyShop.tax.0: a rule for OUTPUT2 needs"),
        ("from: 2026", "to: 2020-01-01, from: 2026", "`to` 2020-01-01 is before `from` 2026-01-01"),
        ("main/MyShop:", "MyShop:", "stores: 'MyShop': write instance/SiteName"),
        ("organisation: shop-uk", "organisation: Shop UK", "shop.yaml:2: organisation: 'Shop UK': use lower-case"),
        ("organisation: shop-uk\n", "", "organisation: is missing: add it"),
        ("extends: default", "extends: other", "shop.yaml:1: extends: there is no other.yaml in"),
        ("extends: default", "extends: ../x", "shop.yaml:1: extends: '../x': name a file beside this one"),
        ("extends: default", "extends: shop", "shop.yaml:1: extends: shop.yaml extends this file in turn"),
        ("defaults:", "defaults: [", "shop.yaml:5: bad YAML: expected"),
        (
            "    prefix: UK-",
            "    prefix: UK-\n    prefix: B-",
            "shop.yaml:11: stores.main/MyShop.prefix: stands here twice",
        ),
        (SHOP, "- a\n- b\n", "shop.yaml:1: must be a mapping"),
    ],
)
def test_each_fault_has_file_line_key_and_remedy(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SHOP
    found = faults(tmp_path, SHOP.replace(old, new, 1))
    assert any(said in line for line in found), found


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, SHOP.replace("prefix: UK-", "prefx: UK-").replace("zero_tax", "zerotax"))
    assert len(found) == 2


def test_a_missing_file_says_where_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesInvalid, match=r"there is no such file: check `rules:` in k2x\.yaml"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("prefix: UK-", "'UK-' is the prefix of main/MyShop too"),
        ("prefix: UK-1", "'UK-1' and 'UK-' of main/MyShop are ambiguous"),
        ("prefix: ''", ""),
        ("prefix: UK-X", ""),
        ("prefix: UK-X\n    number_from: OrderInvoiceNumber", ""),
    ],
)
def test_equal_and_ambiguous_prefixes(tmp_path: Path, second: str, said: str) -> None:
    text = f"{SHOP}  main/Second:\n    {second}\n"
    if said:
        (line,) = faults(tmp_path, text)
        assert line.startswith("shop.yaml:17: stores.main/Second.prefix")
        assert said in line
    else:
        assert len(read(tmp_path, text).stores) == 2


def test_a_free_invoice_number_makes_any_shared_beginning_ambiguous(tmp_path: Path) -> None:
    text = SHOP.replace("prefix: UK-", "prefix: UK-\n    number_from: OrderInvoiceNumber")
    (line,) = faults(tmp_path, f"{text}  main/Second: {{prefix: UK-X-}}\n")
    assert "ambiguous" in line


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("prefix: UK-S20261125-GBP-", "an order of main/Second could get the number of a daily summary of main/MyShop"),
        ("prefix: UK-S2\n    number_from: OrderInvoiceNumber", "set number_from: OrderID"),
        ("prefix: ''\n    number_from: OrderInvoiceNumber", "set number_from: OrderID"),
        ("prefix: UK-S20261125", ""),
        ("prefix: US-\n    number_from: OrderInvoiceNumber", ""),
    ],
)
def test_no_order_can_get_the_number_of_a_summary(tmp_path: Path, second: str, said: str) -> None:
    summary = "prefix: UK-\n    posting: {mode: summary, from: 2026-11-01}"
    text = f"{SHOP.replace('prefix: UK-', summary)}  main/Second:\n    {second}\n"
    if said:
        assert any(said in line for line in faults(tmp_path, text))
    else:
        assert read(tmp_path, text).stores["main/MyShop"].posting.grace_minutes == 180


def test_a_shop_of_summaries_numbers_its_own_orders_by_their_id(tmp_path: Path) -> None:
    rules = "prefix: UK-\n    number_from: OrderInvoiceNumber\n    posting: {mode: summary, from: 2026-11-01}"
    (line,) = faults(tmp_path, SHOP.replace("prefix: UK-", rules))
    assert "an order of main/MyShop could get the number of a daily summary of main/MyShop" in line


def test_summaries_need_a_first_day(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, SHOP.replace("prefix: UK-", "prefix: UK-\n    posting: {mode: summary}"))
    assert "`mode: summary` needs `from`" in line


def test_contact_prefixes_of_two_instances(tmp_path: Path) -> None:
    instances = "instances:\n  main: {contact_prefix: K}\n  other: {contact_prefix: K}\n"
    text = f"{SHOP}  other/Second: {{prefix: B-}}\n{instances}"
    assert "'K' is equal to or ambiguous with 'K' of main" in faults(tmp_path, text)[0]
    apart = text.replace("other: {contact_prefix: K}", "other: {contact_prefix: L}")
    assert read(tmp_path, apart).contact_prefix("other") == "L"


STEPS = """\
workflow:
  - {name: Event, use: trigger.order}
  - {name: Day, use: lookup.dates}
  - {name: Money, use: lookup.currency}
  - {name: Lines, use: map.lines}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("map.lines", "map.nothing", "there is no operator 'map.nothing'; there are trigger.order, gate.deleted"),
        ("  - {name: Money, use: lookup.currency}\n", "", "step 'Lines' needs currency, which lookup.currency gives"),
        ("use: lookup.currency}", "use: lookup.currency, enabled: false}", "step 'Lines' needs currency"),
        ("  - {name: Event, use: trigger.order}\n", "", "step 'Day': the trigger must be the first step"),
        ("lookup.dates", "trigger.order", "step 'Day': the trigger must be the first step, and the only one"),
        ("name: Day", "name: Lines", "two steps are called 'Lines'"),
        ("map.lines", "lookup.dates", "step 'Lines': lookup.dates is used by step 'Day' already"),
        ("use: trigger.order}", "use: trigger.order, with: {event: x}}", "parameters of trigger.order: events"),
        ("use: trigger.order}", "uses: trigger.order}", "workflow.0.use: is missing"),
    ],
)
def test_a_workflow_that_cannot_run_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert read(tmp_path, SHOP + STEPS).workflow[-1].name == "Lines"
    found = faults(tmp_path, SHOP + STEPS.replace(old, new, 1))
    assert any(said in line and line.startswith("shop.yaml:") for line in found), found


@pytest.mark.parametrize(
    ("above", "below", "dead"),
    [
        ("{rate: 0, not_country: GB, tax_type: A}", "{rate: 0, country: EU, with_tax_id: true, tax_type: B}", True),
        ("{rate: 0, country: EU, tax_type: A}", "{rate: 0, country: [FR, DE], tax_type: B}", True),
        ("{rate: 0, country: EU, with_tax_id: true, tax_type: A}", "{rate: 0, not_country: GB, tax_type: B}", False),
        ("{rate: 0, not_country: [GB, FR], tax_type: A}", "{rate: 0, country: FR, tax_type: B}", False),
        ("{rate: 0, not_country: [GB, FR], tax_type: A}", "{rate: 0, not_country: GB, tax_type: B}", False),
        ("{rate: 0, not_country: GB, tax_type: A}", "{rate: 0, not_country: [GB, FR], tax_type: B}", True),
        ("{rate: 20, tax_type: A}", "{class: VAT, rate: 20, tax_type: B}", True),
        ("{class: vat, rate: 20, tax_type: A}", "{class: VAT, rate: 20, from: 2026-01-01, tax_type: B}", True),
        ("{class: VAT, rate: 20, to: 2026-01-01, tax_type: A}", "{class: VAT, rate: 20, tax_type: B}", False),
        ("{class: VAT, tax_type: A}", "{class: VAT, rate: 20, tax_type: B}", False),
        ("{class: VAT, rate: 20, tax_type: A}", "{rate: 20, tax_type: B}", False),
        ("{class: VAT, rate: 20, state: NY, tax_type: A}", "{class: VAT, rate: 20, tax_type: B}", False),
    ],
)
def test_a_tax_rule_that_is_never_reached_is_told(tmp_path: Path, above: str, below: str, dead: bool) -> None:
    document = read(tmp_path, f"{SHOP}      - {above}\n      - {below}\n")
    said = document.doubts()
    assert len(said) == dead
    assert all("tax[3] (B) is never reached: tax[2] (A)" in text and "Put tax[3] above" in text for text in said)


@pytest.mark.parametrize(
    ("unpaid", "then", "doubts"), [("void", "hold", 1), ("credit", "post", 0), ("hold", "hold", 0)]
)
def test_a_rule_for_unpaid_refunds_that_none_comes_to_is_told(
    tmp_path: Path, unpaid: str, then: str, doubts: int
) -> None:
    shop = SHOP.replace("defaults:\n", f"defaults:\n  refunds: {{unpaid: {unpaid}}}\n")
    steps = (SHIPPED / "default.yaml").read_text("utf-8").partition("workflow:")[2]
    gate = "use: gate.refund, with: {then: "
    said = read(tmp_path, shop + "workflow:" + steps.replace(f"{gate}post", f"{gate}{then}")).doubts()
    assert len(said) == doubts
    assert all("stores.main/MyShop.refunds.unpaid: void" in text and "then: hold" in text for text in said)


@pytest.mark.parametrize("org", ["uk", "au", "de"])
def test_the_demos_rules_leave_no_doubt(org: str) -> None:
    assert load(SHIPPED / f"{org}.yaml").doubts() == []


def test_what_a_newer_k2x_published_is_refused_not_guessed() -> None:
    text = resolve(load(SHIPPED / "uk.yaml"))
    with pytest.raises(RulesInvalid, match="published rules: surprise: there is no such rule"):
        from_json(text.replace('"workflow":', '"surprise":1,"workflow":'))
    for broken in ("", "[]", "{"):
        with pytest.raises(RulesInvalid, match="published rules"):
            from_json(broken)
