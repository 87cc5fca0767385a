"""Reads rules files into a RulesDocument, with `extends`; the published text of one, and back.

`load` fails with RulesInvalid, which has every fault with file, line, key and remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from streams.rules.errors import Fault, RulesError, RulesInvalid, UnknownStore
from streams.rules.marks import Marked, merge, merged, read
from streams.rules.model import RulesDocument, StoreRules

__all__ = ["RulesDocument", "RulesError", "RulesInvalid", "StoreRules", "UnknownStore", "from_json", "load", "resolve"]

_DEEPEST = 5  # files that extend each other; more is a circle or cannot be followed by a person


def load(path: Path, search: Sequence[Path] = ()) -> RulesDocument:
    """The rules of a file. `extends: default` takes default.yaml from its folder, else from the folders of `search`."""
    marked = _extended(path, search, ())
    marked.data.pop("extends", None)
    return _document(marked, str(path))


def resolve(document: RulesDocument) -> str:
    """The canonical JSON that is published: equal rules give equal text, and later defaults do not change it."""
    dumped = document.model_dump(mode="json", by_alias=True)
    return orjson.dumps(dumped, option=orjson.OPT_SORT_KEYS).decode()


def from_json(text: str | bytes) -> RulesDocument:
    """A published document. RulesInvalid if this k2x cannot use it."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RulesInvalid([Fault("published rules", 0, "", f"are no JSON: {error}")]) from error
    if not isinstance(data, dict):
        raise RulesInvalid([Fault("published rules", 0, "", "are no JSON object")])
    return _document(Marked(data, {(): ("published rules", 0)}), "published rules", resolved=True)


def _extended(path: Path, search: Sequence[Path], before: tuple[Path, ...]) -> Marked:
    marked = read(path)
    base = marked.data.get("extends")
    if base is None:
        return marked
    file, line = marked.place(("extends",))
    if not isinstance(base, str) or not base or "/" in base or "\\" in base or base.startswith("."):
        raise RulesInvalid([Fault(file, line, "extends", f"{base!r}: name a file beside this one, like `default`")])
    name = base if base.endswith((".yaml", ".yml")) else f"{base}.yaml"
    places = [path.parent / name, *(folder / name for folder in search)]
    found = next((one for one in places if one.is_file()), None)
    if found is None:
        looked = ", ".join(str(one.parent) for one in places)
        raise RulesInvalid([Fault(file, line, "extends", f"there is no {name} in {looked}")])
    chain = (*before, path.resolve())
    if found.resolve() in chain or len(chain) > _DEEPEST:
        raise RulesInvalid([Fault(file, line, "extends", f"{name} extends this file in turn: take one of the two out")])
    return merge(_extended(found, search, chain), marked)


def _document(marked: Marked, shown: str, *, resolved: bool = False) -> RulesDocument:
    data = dict(marked.data)
    stores = data.get("stores")
    if not resolved and isinstance(stores, dict):
        defaults = data.get("defaults") or {}
        data["stores"] = {name: merged(defaults, one if one is not None else {}) for name, one in stores.items()}
    try:
        document = RulesDocument.model_validate(data)
    except ValidationError as error:
        raise RulesInvalid(_faults(error, marked, shown)) from error
    wrong = document.faults()
    if wrong:
        raise RulesInvalid([_fault(marked, path, text) for path, text in wrong])
    return document


def _faults(error: ValidationError, marked: Marked, shown: str) -> list[Fault]:
    found: list[Fault] = []
    for one in error.errors():
        path = tuple(str(part) for part in one["loc"] if not str(part).startswith("[") and part != "[key]")
        fault = _fault(marked, path, _text(one))
        if fault not in found:
            found.append(fault)
    return found or [Fault(shown, 0, "", str(error))]


def _fault(marked: Marked, path: tuple[str, ...], text: str) -> Fault:
    """A store's rule that stands under `defaults` is shown there, where a person can change it."""
    own = path
    if len(path) > 2 and path[0] == "stores" and path not in marked.marks and ("defaults", *path[2:]) in marked.marks:
        own = ("defaults", *path[2:])
    file, line = marked.place(own)
    return Fault(file, line, ".".join(own), text)


def _text(error: Any) -> str:
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        return "there is no such rule: check its spelling and its place (docs/rules.md lists all)"
    if kind == "missing":
        return "is missing: add it"
    if kind == "literal_error":
        return f"{given!r}: use {error['ctx']['expected']}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message if kind == "value_error" else f"{given!r}: {message[0].lower()}{message[1:]}"
