"""The kinds of order the shop places, by name: a basket, the right outcome, and what happens to it later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random

from connectors.kentico.sandbox.catalogue import Site
from connectors.kentico.sandbox.places import AUSTRALIA, CZECHIA, GERMANY, NEW_ZEALAND, UNITED_KINGDOM, USA
from connectors.kentico.sandbox.pricing import Basket, Line

WISHES = ("any", "guest", "guest_again", "namesake", "company", "unicode", "norfolk", "bad_email")
"""Who may be asked for: see `places.person`. "any" may also be a customer who bought before."""

PAYABLE, SUPPRESSED, HELD_LATER, BY_HAND = "payable", "suppressed", "held_later", "by_hand"
"""Expected outcomes; `refused:<kind>` is the fifth. `by_hand`: only sent if a person pastes the command."""


@dataclass(frozen=True)
class Scenario:
    """One kind of order. `weight` is its share in the default mix; `follow_up` names an action of `Shop.follow_up`."""

    name: str
    build: Callable[[Site, Random], Basket]
    weight: int = 0
    expected: str = PAYABLE
    follow_up: str | None = None
    sites: frozenset[str] | None = None


_GOODS = ("equipment", "coffee", "filters", "grinders")


def _some(site: Site, rng: Random, n: int, *groups: str) -> tuple[Line, ...]:
    return tuple(Line(sku, rng.choice([1, 1, 1, 2, 3])) for sku in rng.sample(site.group(*(groups or _GOODS)), n))


def _basket(site: Site, rng: Random, kind: str, lines: tuple[Line, ...], **more: object) -> Basket:
    basket = Basket(
        kind, lines, site.main.code, rng.choice(["CreditCard", "CreditCard", "PayPal", "MoneyTransfer"]),
        shipping=rng.choice([0, 0, 1]), settlement=rng.choice(["now", "now", "now", "split"]),
        note=rng.choice([None, None, None, "Please ring the bell"]), po_number=rng.choice([None, None, "PO-4711"]),
    )  # fmt: skip
    return replace(basket, **more)  # type: ignore[arg-type]  # names are checked by replace, and by every test


def _plain(kind: str, **more: object) -> Callable[[Site, Random], Basket]:
    def build(site: Site, rng: Random) -> Basket:
        return _basket(site, rng, kind, _some(site, rng, rng.choice([1, 1, 2])), **more)

    return build


def _selling(kind: str, *keys: str, **more: object) -> Callable[[Site, Random], Basket]:
    def build(site: Site, rng: Random) -> Basket:
        wanted = tuple(Line(site.skus[key], rng.choice([1, 2])) for key in keys)
        return _basket(site, rng, kind, wanted + _some(site, rng, 1), **more)

    return build


def _multi_line(site: Site, rng: Random) -> Basket:
    return _basket(site, rng, "multi_line", _some(site, rng, rng.randrange(4, 11)))


def _mixed_rates(site: Site, rng: Random) -> Basket:
    lines = _some(site, rng, 1, "equipment") + _some(site, rng, 1, "coffee") + _some(site, rng, 1, "filters")
    return _basket(site, rng, "mixed_rates", lines, order_discount=rng.choice([None, ("5% newsletter", Decimal(5))]))


def _item_discount(site: Site, rng: Random) -> Basket:
    count = rng.choice([3, 4, 6])
    line = Line(rng.choice(site.group("coffee", "filters")), count, free_units=("Buy 2 get 1", count // 3))
    return _basket(site, rng, "item_discount", (line, *_some(site, rng, 1, "equipment")))


def _order_discount(site: Site, rng: Random) -> Basket:
    coupon = rng.choice([None, "BDAY_CWPZ9"])
    return _basket(
        site,
        rng,
        "order_discount",
        _some(site, rng, 3),
        order_discount=("10% off orders over 20", Decimal(10)),
        coupon=coupon,
    )


def _unit_discount(site: Site, rng: Random) -> Basket:
    first, second = rng.sample(site.group(*_GOODS), 2)
    percent = rng.choice([Decimal(50), Decimal("12.5"), Decimal(33)])
    return _basket(
        site,
        rng,
        "unit_discount",
        (Line(first, rng.choice([1, 3]), unit_discount=("KA017 - User discount", percent)), Line(second)),
    )


def _gift_card_part(site: Site, rng: Random) -> Basket:
    # The dear grinder keeps every card smaller than the order, so that something is left for the gateway.
    cards: tuple[tuple[str, Decimal | None], ...] = (("Gift card 20", Decimal(20)),)
    if rng.random() < 0.4:
        cards += (("Gift card 12.50", Decimal("12.50")),)
    return _basket(
        site, rng, "gift_card_part", (Line(site.skus["HAR-GR-SKERTON"]), *_some(site, rng, 1)), gift_cards=cards
    )


def _gift_card_full(site: Site, rng: Random) -> Basket:
    cards = rng.choice([(("Gift card 500", None),), (("Gift card 5", Decimal(5)), ("Gift card 500", None))])
    # Nothing is left to pay, so half of these customers never chose a way to pay.
    return _basket(
        site,
        rng,
        "gift_card_full",
        _some(site, rng, 2),
        gift_cards=cards,
        payment=rng.choice([None, "CreditCard"]),
        settlement="now",
    )


def _options(site: Site, rng: Random) -> Basket:
    parent = rng.choice(site.group("equipment"))
    count = rng.choice([1, 2])
    lines = (
        Line(parent, count),
        Line(site.skus["OPT-GIFTWRAP"], count, option_of=0),
        Line(site.skus["OPT-ENGRAVE"], count, option_of=0, text="For Grandma, with love"),
    )
    return _basket(site, rng, "options", lines + _some(site, rng, 1, "coffee"))


def _bundle(site: Site, rng: Random) -> Basket:
    members = rng.sample(site.group("equipment", "filters"), 3)
    count = rng.choice([1, 1, 2])
    lines = (
        Line(site.skus["BUNDLE-START"], count),
        *(Line(sku, count, price=Decimal(0), bundle_of=0) for sku in members),
    )
    return _basket(site, rng, "bundle", lines + _some(site, rng, rng.choice([0, 1])))


def _foreign_currency(site: Site, rng: Random) -> Basket:
    currency = rng.choice(site.currencies[1:]).code
    home = {"USD": USA, "EUR": GERMANY, "NZD": NEW_ZEALAND}[currency]
    # Half live where the shop is and pay its tax; the others are exports without tax.
    return _basket(
        site,
        rng,
        "foreign_currency",
        _some(site, rng, rng.choice([1, 2, 3])),
        currency=currency,
        country=rng.choice([site.country, home]),
    )


def _zero_tax(site: Site, rng: Random) -> Basket:
    # Zero-rated goods need free carriage to be an order without tax, for carriage is of the standard class.
    if site.group("coffee")[0].group == "coffee" and site.country in (UNITED_KINGDOM, AUSTRALIA):
        return _basket(site, rng, "zero_tax", _some(site, rng, 2, "coffee"), free_shipping=True)
    return _basket(site, rng, "zero_tax", _some(site, rng, 2), country=CZECHIA)


def _export(site: Site, rng: Random) -> Basket:
    abroad = {UNITED_KINGDOM: USA, GERMANY: CZECHIA, AUSTRALIA: NEW_ZEALAND}[site.country]
    return _basket(site, rng, "export", _some(site, rng, 2), country=abroad)


def _rounding(site: Site, rng: Random) -> Basket:
    """Cheap things of one class in such numbers that tax per class and tax per line differ by a cent or more."""
    samples = [site.skus[key] for key in ("SAMPLE-A", "SAMPLE-B", "SAMPLE-C")]
    for _ in range(50):
        lines = tuple(Line(sku, rng.choice([1, 3, 7])) for sku in rng.sample(samples, rng.choice([2, 3])))
        lines += tuple(Line(sku, rng.choice([1, 3])) for sku in rng.sample(site.group("equipment"), rng.choice([1, 2])))
        if _tax_differs(site, lines):
            break
    return _basket(site, rng, "rounding", lines)


def _tax_differs(site: Site, lines: tuple[Line, ...]) -> bool:
    percent = {UNITED_KINGDOM: Decimal(20), GERMANY: Decimal(19), AUSTRALIA: Decimal(10)}[site.country]
    divisor = Decimal(100) + percent if site.inclusive else Decimal(100)
    totals = [line.sku.price * line.quantity for line in lines]
    per_line = sum((site.main.round(total * percent / divisor) for total in totals), Decimal(0))
    return per_line != site.main.round(sum(totals, Decimal(0)) * percent / divisor)


def _free(site: Site, rng: Random) -> Basket:
    return _basket(
        site, rng, "free_order", _some(site, rng, 1), order_discount=("Prize draw", Decimal(100)), free_shipping=True,
        payment=None,
        settlement="now",
    )  # fmt: skip


def _trade_line(site: Site, rng: Random) -> Basket:
    return _basket(site, rng, "company_zero_tax", (Line(site.skus["TRADE-ROAST"]),), wish="company")


_SCENARIOS = (
    Scenario("plain", _plain("plain"), 26),
    Scenario("multi_line", _multi_line, 12),
    Scenario("mixed_rates", _mixed_rates, 8),
    Scenario("item_discount", _item_discount, 4),
    Scenario("order_discount", _order_discount, 5),
    Scenario("unit_discount", _unit_discount, 4),
    Scenario("gift_card_part", _gift_card_part, 3),
    Scenario("gift_card_full", _gift_card_full, 2),
    Scenario("options", _options, 3),
    Scenario("bundle", _bundle, 3),
    Scenario("guest", _plain("guest", wish="guest"), 6),
    Scenario("guest_again", _plain("guest_again", wish="guest_again"), 3),
    Scenario("namesakes", _plain("namesakes", wish="namesake"), 3),
    Scenario("company", _plain("company", wish="company"), 4),
    Scenario("company_zero_tax", _trade_line, 1, sites=frozenset({"GoatDE"})),
    Scenario("foreign_currency", _foreign_currency, 6, sites=frozenset({"GoatUK", "GoatAU"})),
    Scenario("zero_tax", _zero_tax, 2),
    Scenario("export", _export, 1),
    Scenario("norfolk_island", _plain("norfolk_island", wish="norfolk"), 1, sites=frozenset({"GoatAU"})),
    Scenario("paid_later", _plain("paid_later", settlement="never"), 4, SUPPRESSED, "pay"),
    Scenario("paid_by_status", _plain("paid_by_status", settlement="by_status"), 1),
    Scenario("never_paid", _plain("never_paid", settlement="never", payment="MoneyTransfer"), 3, SUPPRESSED),
    Scenario("failed_payment", _plain("failed_payment", settlement="failed", payment="CreditCard"), 2, SUPPRESSED),
    Scenario("authorized_only", _plain("authorized_only", settlement="authorized", payment="PayPal"), 1, SUPPRESSED),
    Scenario("edited_note", _plain("edited_note"), 2, follow_up="edit_note"),
    Scenario("edited_address", _plain("edited_address"), 1, follow_up="edit_address"),
    Scenario("edited_item_text", _plain("edited_item_text"), 1, follow_up="edit_item_text"),
    Scenario("rounding", _rounding, 4),
    Scenario("unicode", _plain("unicode", wish="unicode", note="Grüße aus Köln ☕ – «merci»"), 3),
    Scenario("bad_email", _plain("bad_email", wish="bad_email"), 1),
    Scenario("null_sku", _selling("null_sku", "TEST-COFFEE"), 1),
    Scenario("shared_sku", _selling("shared_sku", "CUP-2"), 1),
    Scenario("long_sku", _selling("long_sku", "CO-KEN-GAKUYUNI-AA-SINGLE-ESTATE-16-oz"), 1),
    Scenario("free_order", _free),
    Scenario("no_shipping", _plain("no_shipping", shipping=None)),
    # Orders that must fail well, or be held: only with must_fail.
    Scenario("edited_items", _plain("edited_items", settlement="now"), follow_up="edit_items"),
    Scenario("unknown_account", _selling("unknown_account", "BAD-ACCT"), expected="refused:unknown_account"),
    Scenario(
        "unmapped_payment", _plain("unmapped_payment", payment="CashOnDelivery"), expected="refused:unmapped_payment"
    ),
    Scenario("unbalanced", _plain("unbalanced", off_by=Decimal("3.00")), expected="refused:unbalanced"),
    Scenario("odd_tax_rate", _selling("odd_tax_rate", "ODD-RATE"), expected="refused:odd_tax_rate"),
    # Of the demo's organisations only the British one has closed a period.
    Scenario(
        "locked_period",
        _plain("locked_period", year=2019),
        expected="refused:locked_period",
        sites=frozenset({"GoatUK"}),
    ),
)
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _SCENARIOS}
MUST_FAIL = tuple(scenario.name for scenario in _SCENARIOS if scenario.expected.startswith("refused:"))
HELD = "edited_items"
DEFAULT_MIX: Mapping[str, int] = {scenario.name: scenario.weight for scenario in _SCENARIOS if scenario.weight}
SITE_SHARES: Mapping[tuple[str, str], int] = {("emea", "GoatUK"): 45, ("emea", "GoatDE"): 30, ("apac", "GoatAU"): 25}


def schedule(n: int, rng: Random, *, mix: Mapping[str, int] | None = None, must_fail: bool = True) -> list[str]:
    """n kinds in the order of placing: about 2 of each must-fail kind in 300, one held in 150, the rest by weight.

    A mix with more than twice as many orders as kinds places each of its kinds at least once.
    """
    weights = {name: weight for name, weight in (mix or DEFAULT_MIX).items() if weight > 0}
    kinds: list[str] = []
    if must_fail and n >= 2 * (len(MUST_FAIL) + 1):
        each = max(1, round(2 * n / 300))
        kinds += [name for name in MUST_FAIL for _ in range(each)] + [HELD] * max(1, round(n / 150))
    elif must_fail and n >= 4:
        kinds += rng.sample([*MUST_FAIL, HELD], n // 4)
    if n - len(kinds) > 2 * len(weights):
        kinds += [name for name in weights if name not in kinds]
    kinds += rng.choices(list(weights), weights=list(weights.values()), k=n - len(kinds))
    rng.shuffle(kinds)
    return kinds


def site_for(kind: str, rng: Random, shares: Mapping[tuple[str, str], int] | None = None) -> tuple[str, str]:
    """(instance, site) for an order of this kind, by share among the sites that can place it."""
    only = SCENARIOS[kind].sites
    open_to = {place: share for place, share in (shares or SITE_SHARES).items() if only is None or place[1] in only}
    if not open_to:  # the asked sites cannot place this kind: place it where it belongs
        open_to = {place: share for place, share in SITE_SHARES.items() if only is None or place[1] in only}
    return rng.choices(list(open_to), weights=list(open_to.values()))[0]
