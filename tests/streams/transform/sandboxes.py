"""The two sandboxes as judges: the Kentico shop's orders in, the Xero books' own rules at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from connectors.kentico.aggregate import Facts, build_order
from connectors.kentico.sandbox import payload
from connectors.kentico.sandbox.catalogue import catalogue
from connectors.kentico.sandbox.checkout import new_buyer, place
from connectors.kentico.sandbox.payment import settle
from connectors.kentico.sandbox.places import person
from connectors.kentico.sandbox.rows import Counter, seeded, stamp
from connectors.kentico.sandbox.scenarios import DEFAULT_MIX, SCENARIOS, site_for
from connectors.kentico.settings import InstanceSettings
from connectors.xero.sandbox import contacts, invoices, payments
from connectors.xero.sandbox.books import Books
from connectors.xero.sandbox.chart import Organisation, default_organisations
from connectors.xero.sandbox.clock import Clock
from connectors.xero.sandbox.documents import Document
from connectors.xero.sandbox.errors import ElementRefused
from schemas.types import Command, Order, Sale
from streams.rules.document import load
from streams.rules.reference import OrgReference, build
from streams.transform.context import Store
from streams.workflow import compile_store

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
RULES = Path(__file__).parents[3] / "rules"
OF_STORE = {"emea/GoatUK": "uk", "emea/GoatDE": "de", "apac/GoatAU": "au", "seed2021/SeedUK": "uk"}
_CAN = {"A": "Assets", "E": "Equity", "X": "Expenses", "L": "Liabilities", "R": "Revenue"}


def organisations() -> dict[str, Organisation]:
    return {org.slug: org for org in default_organisations()}


def reference(org: Organisation) -> OrgReference:
    """A sandbox's organisation as rules meet it."""
    found = build(rows_of(org))
    assert found is not None
    return found


def rows_of(org: Organisation) -> list[tuple[str, str, dict[str, Any]]]:
    """What the lane owner would publish of a sandbox's organisation."""
    rows: list[tuple[str, str, dict[str, Any]]] = [
        (
            "ORGANISATION",
            org.id,
            {
                "Name": org.name,
                "BaseCurrency": org.base_currency,
                "CountryCode": org.country,
                "Timezone": org.timezone,
                "PeriodLockDate": org.period_lock_date and org.period_lock_date.isoformat(),
                "EndOfYearLockDate": org.end_of_year_lock_date and org.end_of_year_lock_date.isoformat(),
                "OrganisationID": org.id,
                "Version": org.version,
            },
        )
    ]
    for account in org.accounts.values():
        document = {
            "AccountID": account.id, "Code": account.code, "Name": account.name, "Type": account.type,
            "Class": account.class_, "Status": account.status, "TaxType": account.tax_type,
            "SystemAccount": account.system or None, "EnablePaymentsToAccount": account.pay,
            "CurrencyCode": account.currency,
        }  # fmt: skip
        rows.append(("ACCOUNT", account.code or account.id, document))
    for rate in org.tax_rates.values():
        document = {"TaxType": rate.type, "Name": rate.name, "EffectiveRate": str(rate.percent), "Status": rate.status}
        document |= {f"CanApplyTo{name}": letter in rate.applies for letter, name in _CAN.items()}
        rows.append(("TAX_RATE", rate.type, document))
    rows += [("CURRENCY", code, {"Code": code}) for code in org.currencies]
    for category in org.tracking.values():
        options = [{"Name": option, "Status": "ACTIVE"} for option in category.options]
        rows.append(("TRACKING", category.name, {"Name": category.name, "Status": "ACTIVE", "Options": options}))
    return rows


def stores() -> dict[str, Store]:
    """The demo's stores, compiled against the sandbox's organisations."""
    references = {slug: reference(org) for slug, org in organisations().items()}
    rules = {slug: load(RULES / f"{slug}.yaml") for slug in references}
    return {
        store: compile_store(rules[slug], references[slug], store=store, rules_version=1)
        for store, slug in OF_STORE.items()
    }


def orders(seed: str, n: int, mix: dict[str, int] | None = None) -> Iterator[tuple[str, Order]]:
    """n paid orders of the shop's kinds: (kind, order)."""
    rng = seeded("transform", seed)
    kinds = mix or dict(DEFAULT_MIX)
    for number in range(n):
        kind = rng.choices(list(kinds), weights=list(kinds.values()))[0]
        yield kind, order(kind, f"{seed}-{number}", 1001 + number)


def order(kind: str, seed: str, order_id: int = 1001) -> Order:
    """One paid order of a kind, as the receiver would write it; half of them by a sender who joins little."""
    rng = seeded("transform order", kind, seed)
    instance, site_name = site_for(kind, rng)
    shop = catalogue(instance)
    site = shop.sites[site_name]
    basket = SCENARIOS[kind].build(site, rng)
    ids = Counter(start=order_id)
    who = person(rng, basket.wish, basket.country or site.country)
    buyer = new_buyer(basket, site, who, ids, stamp(NOW, shop.zone), rng)
    rows, _ = place(basket, site, shop, buyer, ids, NOW, rng)
    rows = settle(rows, "by_status" if basket.settlement == "by_status" else "paid", site, shop.zone, ids, NOW, rng)
    data = payload.order_data(rows, shop, full_joins=rng.random() < 0.5)
    for item in data["items"]:
        numbers = [row["SKUNumber"] for row in shop.rows["ecommerce.sku"]]
        item["sku_number_shared"] = numbers.count(item["SKUNumber"]) > 1
    if not data["currency"].get("MainCurrencyCode"):
        data["currency"]["MainCurrencyCode"] = site.main.code
    # REST and the webhook do not tell whether prices include tax: configured for some, else inferred.
    include = {site_name: site.inclusive} if rng.random() < 0.5 else {}
    settings = InstanceSettings(name=instance, time_zone=str(shop.zone), prices_include_tax=include)
    facts = Facts(settings, "order.paid", "WEBHOOK", NOW, NOW, site_name)
    return build_order(json.loads(json.dumps(data), parse_float=Decimal), facts)


class Judge:
    """Xero's books: posts a sale the way the sink does, and shows what Xero made of it."""

    def __init__(self) -> None:
        self.books = {slug: Books(org, Clock()) for slug, org in organisations().items()}

    def post(self, command: Command) -> Document:
        """The invoice after its payments. ElementRefused where Xero would refuse."""
        books = self.books[command["org"]]
        sale = cast(Sale, command["body"])
        who = _read(sale["contact"]["document"])
        try:
            contact = contacts.write(books, who, "k2x", create_only=False)
        except ElementRefused:  # an equal name: repeated with the number, as the sink does
            who["Name"] += f" ({sale['contact']['number']})"
            contact = contacts.write(books, who, "k2x", create_only=False)
        element = _read(sale["invoice"]) | {"InvoiceNumber": sale["number"], "Contact": {"ContactID": contact.id}}
        written = invoices.write(books, invoices.INVOICE, element, create_only=True, unitdp=4, app="k2x")
        assert written.warnings == ()
        for tender in sale["payments"]:
            payment: dict[str, Any] = {
                "Invoice": {"InvoiceID": written.document.id},
                "Account": {"AccountID": tender["account_id"]},
                "Amount": Decimal(tender["amount"]),
                "Date": tender["date"],
                "Reference": f"{sale['number']}/{tender['ordinal']} {tender['reference']}",
            }
            for key, name in (("currency_rate", "CurrencyRate"), ("bank_amount", "BankAmount")):
                value = cast(dict[str, Any], tender)[key]
                if value is not None:
                    payment[name] = Decimal(value)
            payments.create(books, payment, "k2x")
        found = books.document(written.document.id)
        assert found is not None
        return found


def _read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return found
