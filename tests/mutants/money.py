"""Sabotages of the bookkeeping: each breaks one rule of BOOKKEEPING in one place, and names the golden case that must
notice."""

from __future__ import annotations

from tests.mutants.sabotages import Sabotage

_OF = "streams/transform"


def _case(name: str) -> tuple[str, ...]:
    return (f"tests/golden/test_golden.py::test_case[{name}]",)


MONEY: tuple[Sabotage, ...] = (
    Sabotage(
        "wrong_rate_is_rounding",
        "a tax that no rounding explains is posted as if it were one",
        f"{_OF}/tax.py",
        "return draft.unit * (_HALF * lines + ONE)",
        "return draft.unit * (_HALF * lines + ONE * 9)",
        _case("tax-beyond-the-tolerance"),
    ),
    Sabotage(
        "tax_of_xeros_own_sum",
        "where Xero rounds otherwise, the tax that was charged is not sent",
        f"{_OF}/tax.py",
        "line.tax_amount = part if part != xero else None",
        "line.tax_amount = None",
        _case("tax-class-rounding-exclusive"),
    ),
    Sabotage(
        "tax_by_the_invoices_day",
        "a sale dated out of a closed period is taxed by that day's rules, not by its own",
        f"{_OF}/tax_type.py",
        "draft.day > rule.to",
        "draft.date > rule.to",
        _case("locked-period-moved-into-another-rate"),
    ),
    Sabotage(
        "default_of_any_rate",
        "the account's default TaxType is taken though its rate is another",
        f"{_OF}/tax_type.py",
        "and _usable(of_xero, line) and of_xero.rate == rate:",
        "and _usable(of_xero, line):",
        _case("tax-unknown-rate"),
    ),
    Sabotage(
        "unknown_country_is_abroad",
        "an order of which nobody knows where it went is an export",
        f"{_OF}/tax_type.py",
        "if rule.not_country and (country is None or country in rule.not_country):",
        "if rule.not_country and (country is not None and country in rule.not_country):",
        _case("tax-without-an-address"),
    ),
    Sabotage(
        "discount_shared_evenly",
        "an order's discount is shared by heads, not by price",
        f"{_OF}/lines.py",
        "weights = [max(total, ZERO) for total in totals]",
        "weights = [ONE for total in totals]",
        _case("discount-order"),
    ),
    Sabotage(
        "members_invoiced_twice",
        "members of a bundle are lines though their prices are not in the order's sum",
        f"{_OF}/lines.py",
        "return miss(whole) <= miss(whole - members)",
        "return True",
        _case("bundle-members-not-in-the-sum"),
    ),
    Sabotage(
        "bank_amounts_by_themselves",
        "tenders rounded one by one leave a currency gain that nobody made",
        f"{_OF}/payment.py",
        "bank = rounded((before + amount) / draft.rate, unit) - rounded(before / draft.rate, unit)",
        "bank = rounded(amount / draft.rate, unit)",
        _case("currency-dollars-to-a-pound-account"),
    ),
    Sabotage(
        "contradicting_totals_make_a_rate",
        "main-currency totals that contradict each other still give the rate",
        f"{_OF}/exchange.py",
        "if abs(grand_main - made) > unit_of(base) * (ONE + grand / total):",
        "if abs(grand_main - made) > unit_of(base) * 10000:",
        _case("currency-totals-disagree"),
    ),
)
