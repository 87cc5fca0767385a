"""Writes types.py, the TypedDicts of every record, from the *.avsc files: `python -m schemas.generate_types`.

TypedDicts cost nothing at run time, so transforms get names checked by mypy and dictionaries as fastavro makes them.
"""

from __future__ import annotations

import sys
import textwrap
from importlib import resources
from pathlib import Path
from typing import Any

from schemas.ids import NAMES, current

_PRIMITIVE = {
    "string": "str",
    "bytes": "bytes",
    "int": "int",
    "long": "int",
    "double": "float",
    "boolean": "bool",
    "null": "None",
}
_LOGICAL = {"decimal": "Decimal", "timestamp-micros": "datetime"}


def render() -> str:
    """The text of types.py."""
    records: dict[str, list[str]] = {}
    for name in NAMES:
        _type(current(name), records)
    body = "\n\n\n".join("\n".join(lines) for lines in records.values())
    return (
        '"""What is on the topics, as types: written by `python -m schemas.generate_types`; do not edit."""\n\n'
        "from __future__ import annotations\n\n"
        "from datetime import datetime\nfrom decimal import Decimal\nfrom typing import Literal, TypedDict\n\n\n"
        + body
        + "\n"
    )


def _type(schema: Any, records: dict[str, list[str]]) -> str:
    if isinstance(schema, list):
        return " | ".join(sorted((_type(s, records) for s in schema), key=lambda t: t == "None"))
    if isinstance(schema, str):
        return _PRIMITIVE.get(schema, schema)
    if "logicalType" in schema:
        return _LOGICAL[schema["logicalType"]]
    kind = schema["type"]
    if kind == "record":
        return _record(schema, records)
    if kind == "array":
        return f"list[{_type(schema['items'], records)}]"
    if kind == "map":
        return f"dict[str, {_type(schema['values'], records)}]"
    if kind == "enum":
        return "Literal[" + ", ".join(f'"{s}"' for s in schema["symbols"]) + "]"
    return _type(kind, records)


def _record(schema: dict[str, Any], records: dict[str, list[str]]) -> str:
    name = str(schema["name"])
    fields = [f"    {field['name']}: {_type(field['type'], records)}" for field in schema["fields"]]
    doc = [f'    """{textwrap.fill(schema["doc"], 110, subsequent_indent="    ")}"""', ""] if schema.get("doc") else []
    lines = [f"class {name}(TypedDict):", *doc, *fields]
    if name in records and len(records[name]) != len(lines):
        name = f"{name}_{len(records)}"
        lines[0] = f"class {name}(TypedDict):"
    records.setdefault(name, lines)
    return name


def main() -> int:
    path = Path(str(resources.files("schemas").joinpath("types.py")))
    path.write_text(render(), "utf-8")
    sys.stdout.write(f"{path.name} written\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
