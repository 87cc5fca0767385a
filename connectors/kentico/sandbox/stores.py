"""The stores of the two instances as data: currencies, tax classes and rates, shipping, statuses, ways to pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.kentico.sandbox.places import AUSTRALIA, GERMANY, NORFOLK_ISLAND, UNITED_KINGDOM

# (key, code name, display name, {country: percent}, {state: percent}, zero if a tax id is supplied)
TaxSpec = tuple[str, str, str, dict[int, str], dict[int, str], bool]


@dataclass(frozen=True)
class SiteSpec:
    """A store as a person would describe it; `catalogue` makes rows of it."""

    name: str
    display: str
    inclusive: bool
    country: int
    culture: str
    money: tuple[tuple[str, str, str, str], ...]  # code, display, format string, units per main unit
    classes: tuple[TaxSpec, ...]
    groups: Mapping[str, str]  # product group → class key
    factor: str  # British price → this site's
    number_prefix: str  # so that two sites of one instance do not share numbers by accident
    shipping: tuple[tuple[str, str, str, str | None], ...]  # code name, display name, price, free from


_UK = SiteSpec(
    "GoatUK", "Dancing Goat United Kingdom", True, UNITED_KINGDOM, "en-GB",
    (("GBP", "Pound sterling", "£{0:F2}", "1"), ("USD", "U.S. dollar", "${0:F2}", "1.27"), ("EUR", "Euro", "{0:F2} €",
    "1.17")),
    (
        ("standard", "StandardVAT", "VAT 20%", {UNITED_KINGDOM: "20"}, {}, False),
        ("reduced", "ReducedVAT", "VAT 5%", {UNITED_KINGDOM: "5"}, {}, False),
        ("food", "ZeroVAT", "Zero rated", {UNITED_KINGDOM: "0"}, {}, False),
        ("odd", "SpecialVAT", "Special 12.5%", {UNITED_KINGDOM: "12.5"}, {}, False),
    ),
    {"equipment": "standard", "grinders": "standard", "trade": "standard", "filters": "reduced", "coffee": "food",
    "odd": "odd"},
    "1", "", (("StandardDelivery", "Standard Delivery", "3.95", "75"), ("ExpressDelivery", "Express Delivery", "6.95",
    None)),
)  # fmt: skip
_DE = SiteSpec(
    "GoatDE", "Dancing Goat Deutschland", True, GERMANY, "de-DE",
    (("EUR", "Euro", "{0:F2} €", "1"),),
    (
        ("standard", "MwSt19", "MwSt. 19 %", {GERMANY: "19"}, {}, False),
        ("reduced", "MwSt7", "MwSt. 7 %", {GERMANY: "7"}, {}, False),
        # Zero for business customers who give a VAT id: the flag Kentico has for it.
        ("trade", "MwStB2B", "MwSt. B2B 19 %", {GERMANY: "19"}, {}, True),
        ("odd", "MwStSpecial", "Special 12.5%", {GERMANY: "12.5"}, {}, False),
    ),
    {"equipment": "standard", "grinders": "standard", "trade": "trade", "filters": "standard", "coffee": "reduced",
    "odd": "odd"},
    "1.19", "DE-", (("StandardDelivery", "Standardversand", "4.90", "85"), ("ExpressDelivery", "Expressversand",
    "9.90", None)),
)  # fmt: skip
_AU = SiteSpec(
    "GoatAU", "Dancing Goat Australia", False, AUSTRALIA, "en-AU",
    (("AUD", "Australian dollar", "${0:F2}", "1"), ("NZD", "New Zealand dollar", "NZ${0:F2}", "1.09")),
    (
        # Norfolk Island is outside the GST: a state's rate stands before its country's.
        ("standard", "GST", "GST 10%", {AUSTRALIA: "10"}, {NORFOLK_ISLAND: "0"}, False),
        ("food", "GSTFree", "GST-free", {AUSTRALIA: "0"}, {}, False),
        ("odd", "SpecialGST", "Special 12.5%", {AUSTRALIA: "12.5"}, {}, False),
    ),
    {"equipment": "standard", "grinders": "standard", "trade": "standard", "filters": "standard", "coffee": "food",
    "odd": "odd"},
    "1.73", "", (("StandardDelivery", "Standard Delivery", "9.09", "120"), ("ExpressDelivery", "Express Delivery",
    "14.55", None)),
)  # fmt: skip

SPECS: Mapping[str, tuple[str, tuple[SiteSpec, ...], int]] = {
    # Ids of lookup rows start elsewhere in each instance, so that nobody can hard-code them.
    "emea": ("Europe/London", (_UK, _DE), 0),
    "apac": ("Australia/Sydney", (_AU,), 10),
}
INSTANCES = tuple(SPECS)
"""The built-in instances."""

# (code name, display name, is paid)
STATUSES = (
    ("InProgress", "In progress", False),
    ("PaymentReceived", "Payment received", True),
    ("New", "New", False),
    ("Completed", "Completed", True),
    ("Canceled", "Canceled", False),
    ("OnHold", "On hold", False),
    ("PaymentFailed", "Payment failed", False),
    ("PaymentAuthorized", "Payment authorized", False),
    ("Refunded", "Refunded", False),
)
PAYMENTS = (
    ("CreditCard", "Credit card"),
    ("MoneyTransfer", "Money transfer"),
    ("PayPal", "PayPal"),
    ("CashOnDelivery", "Cash on delivery"),
)
DEPARTMENTS = (("Equipment", "equipment"), ("Coffee", "coffee"), ("Filters", "filters"))
