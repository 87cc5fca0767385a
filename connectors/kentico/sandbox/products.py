"""What the Dancing Goat sells: numbers and names of Kentico's sample shop, invented prices, and the awkward ones."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Product:
    """One SKU before it belongs to a site. `price`: British, tax included; `group` decides class and department."""

    id: int
    number: str | None
    name: str
    price: Decimal
    group: str
    stock: int | None = None
    kind: str = "PRODUCT"
    enabled: bool = True
    by_department: bool = False
    """SKUTaxClassID is null and the department's default class applies."""
    key: str | None = None
    """How scenarios name it where the number is null or shared."""


_SAMPLE = """
84|AER-AP|AeroPress|34.95|equipment|9
102|CM|Chemex|44.50|equipment|0
32|CLV-DRIP|Clever Dripper|21.50|equipment|
94|COF-PLNG|Coffee Plunger|29.90|equipment|
111|ESP-PR|Espro Press|89.00|equipment|
118|HAR-VP|Hario Vacuum Pot|104.95|equipment|
33|HAR-V60|Hario V60|11.95|equipment|
55|HAR-V60-Ceramic-Brown-2-cups|Hario V60 (Ceramic, Brown, 2 cups)|18.45|equipment|
125|AER-AP-F|AeroPress Filters|8.90|filters|-8
86|HAR-V60-01-F|Bleached Paper Filters V60-01|4.35|filters|1
24|HAR-VP-F|Changeable Paper Filters for Vacuum Pot|6.15|filters|14
95|CM-F|Paper Filters for Chemex|9.99|filters|48
110|ANF-GR-CAIMANO|Anfim Super Caimano|890.00|grinders|99
17|HAR-GR-SLIM|Hario Mini Mill Slim|31.25|grinders|98
16|HAR-GR-SKERTON|Hario Skerton Hand Grinder|39.70|grinders|89
87|MAC-GR-M2D|Macap M2D|429.00|grinders|100
85|POR-GR-TALL|Porlex Tall Ceramic Burr Grinder|58.65|grinders|100
103|HAR-KET-1|Hario Buono Kettle|52.95|equipment|20
70|CUP-PER|Personalized cup with saucer|13.35|equipment|78
127|GEISHA_SHELL_BL|Geisha Wings Shell|22.20|coffee|100
128|BOLIVIA_LA_LLAMA|Bolivia La Llama Geisha|27.45|coffee|99
91|CO-BOL-CASCARA-8-oz|Bolivia Finca Illimani (8 oz)|8.15|coffee|
92|CO-BOL-CASCARA-16-oz|Bolivia Finca Illimani (16 oz)|14.85|coffee|
73|CO-BRA-BARRAGRANDE-16-oz|Brazil Natural Barra Grande V (16 oz)|13.45|coffee|
117|CO-COL-IMBACHI-4-oz|Colombia Carlos Imbachi (4 oz)|4.85|coffee|
97|CO-ETH-YIRGACHEFFE-4-oz|Ethiopia Yirgacheffe (decaf) (4 oz)|5.05|coffee|
106|CO-GUA-ELINJERTO-4-oz|Guatemala Finca El Injerto (4 oz)|5.55|coffee|
20|CO-KEN-GAKUYUNI-4-oz|Kenya Gakuyuni AA (4 oz)|6.25|coffee|
21|CO-KEN-GAKUYUNI-8-oz|Kenya Gakuyuni AA (8 oz)|10.95|coffee|
"""


def _sample() -> list[Product]:
    products = []
    for line in _SAMPLE.strip().splitlines():
        number_id, number, name, price, group, stock = line.split("|")
        products.append(
            Product(
                int(number_id),
                number,
                name,
                Decimal(price),
                group,
                int(stock) if stock else None,
                by_department=number == "CM-F",
                enabled=number != "AER-AP-F",
            )
        )
    return products


_AWKWARD = [
    Product(126, None, "Test coffee", Decimal("7.77"), "coffee", 50, key="TEST-COFFEE"),
    # The same number as SKU 70: SKUNumber is not unique in Kentico.
    Product(
        170, "CUP-PER", "Personalized cup with saucer (second supplier)", Decimal("12.95"), "equipment", 5, key="CUP-2"
    ),
    # 39 characters; Xero's item code holds 30.
    Product(
        201,
        "CO-KEN-GAKUYUNI-AA-SINGLE-ESTATE-16-oz",
        "Kenya Gakuyuni AA Single Estate (16 oz)",
        Decimal("19.95"),
        "coffee",
    ),
    # The demo's rules point this number to an account that Xero does not have.
    Product(202, "BAD-ACCT", "Gift voucher (paper)", Decimal("25.00"), "equipment"),
    Product(203, "ODD-RATE", "Imported espresso machine", Decimal("112.50"), "odd"),
    Product(204, "OPT-GIFTWRAP", "Gift wrap", Decimal("2.50"), "equipment", kind="TEXT"),
    Product(205, "OPT-ENGRAVE", "Engraving", Decimal("0.00"), "equipment", kind="TEXT"),
    Product(206, "BUNDLE-START", "Starter bundle", Decimal("64.90"), "equipment", kind="BUNDLE"),
    # Prices picked so that tax per line and tax per class differ by cents.
    Product(207, "SAMPLE-A", "Sample pouch A", Decimal("0.83"), "equipment"),
    Product(208, "SAMPLE-B", "Sample pouch B", Decimal("1.15"), "equipment"),
    Product(209, "SAMPLE-C", "Sample pouch C", Decimal("2.47"), "equipment"),
    Product(210, "TRADE-ROAST", "Trade roaster, refurbished", Decimal("349.00"), "trade"),
]

PRODUCTS: tuple[Product, ...] = (*_sample(), *_AWKWARD)
AWKWARD_KEYS = frozenset(product.key or product.number or "" for product in _AWKWARD)
