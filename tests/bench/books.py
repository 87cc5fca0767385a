"""An organisation's rules and reference data for the bench of streams: a British shop, as the sink would publish it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from streams.rules.document import load, resolve

ROOT = Path(__file__).parents[2]
_RULES = """
extends: default
organisation: uk
stores:
  emea/GoatUK:
    prefix: UK-
    accounts: {default: "200"}
    shipping_account: "210"
    payments: {"Card:GBP": "090"}
    zero_tax: ZERORATEDOUTPUT
"""


def rules() -> str:
    """The resolved document, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "uk.yaml"
        path.write_text(_RULES, "utf-8")
        return resolve(load(path, [ROOT / "rules"]))


def reference(items: int) -> list[tuple[str, str, str]]:
    """(kind, code, document) of a complete snapshot with `items` items besides the ones that are sold."""
    rows: list[tuple[str, str, dict[str, Any]]] = [
        (
            "ORGANISATION",
            "o",
            {"Name": "Bench", "BaseCurrency": "GBP", "CountryCode": "GB", "Timezone": "GMTSTANDARDTIME"},
        ),
        ("CURRENCY", "GBP", {"Code": "GBP"}),
        ("TAX_RATE", "OUTPUT2", _rate("OUTPUT2", "20")),
        ("TAX_RATE", "ZERORATEDOUTPUT", _rate("ZERORATEDOUTPUT", "0")),
        ("TAX_RATE", "NONE", _rate("NONE", "0")),
        ("ACCOUNT", "200", _account("200", "REVENUE", "REVENUE")),
        ("ACCOUNT", "210", _account("210", "REVENUE", "REVENUE")),
        ("ACCOUNT", "090", _account("090", "BANK", "ASSET")),
        ("ACCOUNT", "860", {**_account("860", "EXPENSE", "EXPENSE"), "SystemAccount": "ROUNDING"}),
    ]
    sold = [f"SKU-{number}" for number in (1, 2, 3)]
    rows += [("ITEM", code, _item(code)) for code in [*sold, *(f"OTHER-{n}" for n in range(items))]]
    rows.append(("COMPLETE", "", {"counts": {}}))
    return [(kind, code, json.dumps(document)) for kind, code, document in rows]


def _rate(name: str, percent: str) -> dict[str, Any]:
    return {"TaxType": name, "Name": name, "EffectiveRate": percent, "Status": "ACTIVE", "CanApplyToRevenue": True}


def _account(code: str, kind: str, class_: str) -> dict[str, Any]:
    return {
        "AccountID": f"00000000-0000-4000-8000-000000000{code}",
        "Code": code,
        "Name": code,
        "Type": kind,
        "Class": class_,
        "Status": "ACTIVE",
        "TaxType": "OUTPUT2" if class_ == "REVENUE" else "NONE",
        "EnablePaymentsToAccount": kind == "BANK",
        "CurrencyCode": "GBP" if kind == "BANK" else None,
    }


def _item(code: str) -> dict[str, Any]:
    return {"Code": code, "Name": code, "IsSold": True, "SalesAccountCode": "200", "SalesTaxType": "OUTPUT2"}
