"""Items: upserted by code, untracked, only where Xero has them or the rule says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import cast

from connectors.xero import outcomes
from connectors.xero.core.desk import Desk
from connectors.xero.core.state import Document, Job, Refusal, Step
from connectors.xero.outcomes import Element
from schemas.types import Item

_TRACKED = ("InventoryAssetAccountCode", "COGSAccountCode", "QuantityOnHand")


class Items:
    """The flow of ITEM commands."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def start(self, job: Job) -> None:
        """Nothing where the item is unknown or unchanged, else an upsert."""
        item = cast(Item, job.command["body"])
        entry = self.desk.entry(item["code"])
        version = item["version"] or job.command["version"]
        known = (entry is not None and entry["xero_id"]) or self.desk.ledger.reference_row("ITEM", item["code"])
        if item["only_if_known"] and not known:
            self._left_alone(job, "Xero does not have this item")
        elif entry is not None and entry["version"] is not None and version < entry["version"]:
            self._left_alone(job, "a newer version of the item is already in Xero")
        elif entry is not None and entry["hash"] == item["hash"] and entry["intention"] is None:
            self._left_alone(job, "nothing changed")
        else:
            document = Document(
                Step.ITEM, item["code"], item["code"], _element(item), item["hash"], version, [job], entry
            )
            document.not_before = self.desk.inherited(entry)
            if entry is not None and entry["intention"] is not None:
                document.attempt = entry["intention"]["attempt"] + 1
            self.desk.ready[Step.ITEM].append(document)

    def _left_alone(self, job: Job, why: str) -> None:
        self.desk.result(job.command, "item", "UNCHANGED", message=why)
        self.desk.end(job)

    def answered(self, document: Document, element: Element) -> None:
        """One element of POST Items."""
        job = document.jobs[0]
        if not element.good:
            refusal = outcomes.judge(element.errors)[1]
            if element.id is None or document.suspect is not None:
                self.refused(document, refusal)
                return
            document.suspect = refusal  # an error beside an id: written or not, an upsert may be sent once more
            document.attempt += 1
            self.desk.ready[Step.ITEM].append(document)
            return
        entry = self.desk.fresh(document.key, "item")
        entry["state"], entry["intention"], entry["reason"] = "POSTED", None, None
        entry["xero_id"], entry["number"] = element.id, document.natural
        entry["hash"], entry["version"] = document.hash, document.version
        self.desk.result(job.command, "item", "POSTED", xero_id=element.id, number=document.natural)
        self.desk.end(job, entry)

    def refused(self, document: Document, refusal: Refusal) -> None:
        """Dead letter."""
        job = document.jobs[0]
        entry = self.desk.fresh(document.key, "item")
        entry["state"], entry["intention"], entry["reason"] = "REFUSED", None, refusal.message
        self.desk.refuse(job, refusal, "item")
        self.desk.end(job, entry)


def _element(item: Item) -> str:
    """The command's own text, with the code, and without what would make the item tracked."""
    document = json.loads(item["document"], parse_float=Decimal)
    clean = document.get("Code") == item["code"] and not any(name in document for name in _TRACKED)
    if clean:
        return item["document"]
    kept: Mapping[str, object] = {name: value for name, value in document.items() if name not in _TRACKED}
    return _json({**kept, "Code": item["code"]})


def _json(value: object) -> str:
    """JSON with decimals as they were written."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(k)}:{_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return json.dumps(value)
