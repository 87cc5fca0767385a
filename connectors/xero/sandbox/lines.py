"""Document lines: item defaults, accounts, tax types, sums.

Collects every problem of a document instead of the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from connectors.xero.sandbox import errors
from connectors.xero.sandbox.arithmetic import (
    HUNDRED,
    ZERO,
    LineAmountTypes,
    line_amount,
    line_tax,
    money,
    quantity,
    unit,
)
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.chart import Account
from connectors.xero.sandbox.documents import Item, Line
from connectors.xero.sandbox.reading import Element, many, number, text

ONE = Decimal(1)
LARGEST = Decimal("9999999999.99")


@dataclass(slots=True)
class Findings:
    """What is wrong with a document: errors refuse it, warnings only tell."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LineRules:
    """What the document around the line decides: `final` once AUTHORISED, `sales` for ACCREC, `discounts` for ACCREC
    invoices only.
    """

    amounts: LineAmountTypes
    unitdp: int
    final: bool
    sales: bool
    discounts: bool


def build(books: Books, given: list[Element], old: dict[str, Line], rules: LineRules, found: Findings) -> list[Line]:
    """The document's lines; a LineItemID of the document keeps what is not sent, any other line is new."""
    lines: list[Line] = []
    for element in given:
        former = old.get((text(element, "LineItemID") or "").lower())
        if former is not None:
            element = merged(former, element)
        lines.append(_line(books, element, former.id if former else books.new_id(), rules, found))
    return lines


def as_element(line: Line) -> Element:
    """A stored line as the caller would have sent it."""
    element: Element = {
        "LineItemID": line.id,
        "Description": line.description,
        "Quantity": line.quantity,
        "UnitAmount": line.unit_amount,
        "AccountCode": line.account_code,
        "TaxType": line.tax_type,
        "ItemCode": line.item_code,
        "DiscountRate": line.discount_rate,
        "DiscountAmount": line.discount_amount,
        "Tracking": [{"Name": name, "Option": option} for name, option in line.tracking],
    }
    if line.tax_sent:
        element["TaxAmount"] = line.tax_amount
    return element


def merged(line: Line, element: Element) -> Element:
    """A stored line with what an update sends; a tax amount given earlier falls when the sums change."""
    base = as_element(line)
    if {"Quantity", "UnitAmount", "LineAmount", "TaxType", "DiscountRate", "DiscountAmount"} & element.keys():
        base.pop("TaxAmount", None)
    return base | element


def _line(books: Books, element: Element, id_: str, rules: LineRules, found: Findings) -> Line:
    item = _item(books, element, found)
    details = (item.sales if rules.sales else item.purchase) if item else {}
    description = text(element, "Description") or (item.description if item else "") or (item.name if item else "")
    if not description and rules.final:
        found.errors.append(errors.DESCRIPTION_MISSING)
    if len(description) > 4000:
        found.errors.append(errors.too_long("Description", 4000))
    count, price, rate, discount, amount = _amounts(element, details.get("UnitPrice"), rules, found)
    account = _account(books, text(element, "AccountCode") or details.get("AccountCode"), rules, found)
    tax_type = _tax_type(books, text(element, "TaxType") or details.get("TaxType"), account, rules, found)
    tax, tax_sent = _tax(books, element, tax_type, amount, rules, found)
    return Line(
        id=id_,
        description=description,
        quantity=count,
        unit_amount=price,
        line_amount=amount,
        tax_amount=tax,
        tax_type=tax_type,
        account_code=account.code if account else "",
        account_id=account.id if account else "",
        item_code=item.code if item else "",
        discount_rate=rate,
        discount_amount=discount,
        tax_sent=tax_sent,
        tracking=_tracking(books, element, found),
    )


def _item(books: Books, element: Element, found: Findings) -> Item | None:
    code = text(element, "ItemCode")
    if not code:
        return None
    item = books.find_item(code)
    if item is None:
        found.errors.append(errors.item_invalid(code))
    return item


def _amounts(
    element: Element, default_price: Decimal | None, rules: LineRules, found: Findings
) -> tuple[Decimal, Decimal, Decimal | None, Decimal | None, Decimal]:
    count, price, sent = number(element, "Quantity"), number(element, "UnitAmount"), number(element, "LineAmount")
    rate, discount = number(element, "DiscountRate"), number(element, "DiscountAmount")
    if (rate is not None or discount is not None) and not rules.discounts:
        found.errors.append(errors.CREDIT_DISCOUNT)
    if rate and discount:
        found.errors.append(errors.DISCOUNT_TWICE)
    rate = quantity(rate) if rate else None
    if rate is not None and not 0 <= rate <= HUNDRED:
        found.errors.append("Discount rate must be between 0 and 100")
    discount = money(discount) if discount else None
    if price is None:
        price = default_price
    if sent is not None and (count is None or price is None):
        # one of the two may be left out when the amount is sent; which discount then applied is not public, so none
        # is undone
        if count is None and price:
            count = sent / price
        else:
            count = count if count is not None else ONE
            price = sent / count if count else ZERO
        return quantity(count), unit(price, rules.unitdp), rate, discount, money(sent)
    count = quantity(ONE if count is None else count)
    price = unit(ZERO if price is None else price, rules.unitdp)
    amount = line_amount(count, price, rate, discount)
    if sent is not None and sent != amount:
        found.errors.append(errors.line_total_mismatch(f"{money(sent)}", f"{amount}"))
    if abs(amount) > LARGEST:
        found.errors.append(f"The line total {amount} exceeds the maximum of {LARGEST}")
    return count, price, rate, discount, amount


def _account(books: Books, code: str | None, rules: LineRules, found: Findings) -> Account | None:
    if not code:
        if rules.final:
            found.errors.append(errors.ACCOUNT_CODE_MISSING)
        return None
    account = books.org.accounts.get(code)
    if account is None and not rules.final:
        found.warnings.append(errors.account_removed(code))
    elif account is None or not account.takes_lines:
        found.errors.append(errors.account_invalid(code))
    elif account.status != "ACTIVE":
        found.errors.append(errors.account_archived(code))
    return account


def _tax_type(books: Books, given: str | None, account: Account | None, rules: LineRules, found: Findings) -> str:
    org = books.org
    if given:
        rate = org.tax_rates.get(given)
        if rate is None or rate.status != "ACTIVE":
            found.errors.append(errors.tax_type_unknown(given))
            return given
        if account is not None and not rate.fits(account):
            found.errors.append(errors.tax_type_mismatch(given, account.code))
    if rules.amounts == "NoTax":
        return org.out_of_scope
    return given or (account.tax_type if account else org.out_of_scope)


def _tax(
    books: Books, element: Element, tax_type: str, amount: Decimal, rules: LineRules, found: Findings
) -> tuple[Decimal, bool]:
    rate = books.org.tax_rates.get(tax_type)
    percent = rate.percent if rate else ZERO
    sent = number(element, "TaxAmount")
    if sent is None or rules.amounts == "NoTax":
        return line_tax(amount, percent, rules.amounts), False
    sent = money(sent)
    if sent and not percent:
        found.errors.append(errors.TAX_ON_ZERO_RATE)
    elif abs(sent) > abs(amount):
        found.errors.append(errors.TAX_TOO_LARGE)
    return sent, True


def _tracking(books: Books, element: Element, found: Findings) -> list[tuple[str, str]]:
    chosen: list[tuple[str, str]] = []
    by_id = {one.id: one for one in books.org.tracking.values()}
    for one in many(element, "Tracking") or ():
        name, option = text(one, "Name") or "", text(one, "Option") or ""
        category = by_id.get(text(one, "TrackingCategoryID") or "") or books.org.tracking.get(name)
        if category is None or option not in category.options:
            found.errors.append(errors.tracking_unknown(name, option))
            continue
        chosen.append((category.name, option))
    if len(chosen) > 2:
        found.errors.append("A line item can have at most 2 tracking categories")
    return chosen
