"""docs/rules.md names every rule and every operator."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from streams.rules.model import FieldRule, StoreRules, TaxRule, WriteBack
from streams.rules.operators import OPERATORS

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")


def keys(model: type[BaseModel]) -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not WriteBack:
            found += [f"{name}.{inner}" for inner in keys(kind)]
        else:
            found.append(field.alias or name)
    return found


def test_the_page_names_every_rule_condition_and_operator() -> None:
    missing = [key for key in keys(StoreRules) if f"`{key}`" not in PAGE]
    missing += [
        field.alias or name for name, field in TaxRule.model_fields.items() if (field.alias or name) not in PAGE
    ]
    missing += [f.alias or name for name, f in FieldRule.model_fields.items() if f"`{f.alias or name}`" not in PAGE]
    missing += [name for name in WriteBack.model_fields if f"`{name}`" not in PAGE]
    missing += [name for name in OPERATORS if f"| `{name}` |" not in PAGE]
    assert missing == []
