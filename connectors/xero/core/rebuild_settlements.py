"""The settlements of a lost ledger, decided anew.

Guarantees: a settlement is taken for posted, refused or held only if a result says so. Every other one waits in the
ledger with its documents noted as intended, so that the lane looks at their day in Xero before it sends any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from connectors.xero.core import records
from connectors.xero.core.events import Record
from connectors.xero.core.said import Said
from connectors.xero.core.state import UNNUMBERED, Job
from schemas.types import Command, LedgerEntry, Payout


class SettlementRestoration:
    """`entry` reads the ledger as it will be, `write` changes it."""

    def __init__(
        self,
        org: str,
        now: Callable[[], datetime],
        entry: Callable[[str], LedgerEntry | None],
        write: Callable[[LedgerEntry], None],
    ) -> None:
        self.org, self._now, self._entry, self._write = org, now, entry, write

    def decide(self, record: Record, command: Command, said: Said) -> str:
        """A finished settlement, with the results about it; what it is counted as."""
        home, body = records.home(command), cast(Payout, command["body"])
        outcome, message = said.of(command["command_id"])
        known = self._entry(home)
        if outcome == "UNCHANGED" or (known is not None and known["hash"] == body["money_hash"]):
            return ""
        if known is not None and outcome in ("REFUSED", "HELD"):
            return ""  # held beside the one that was posted
        for step in UNNUMBERED:
            if body["bank_transaction" if step is UNNUMBERED[0] else "transfer"]:
                self._document(command, records.bank_key(command["key"], step), step.value, said.parts.get(step.value))
        whole = self._whole(command, home, known)
        if outcome == "POSTED":
            self._write({**whole, "state": "POSTED", "status": "PAID"})
            return "settlements"
        if outcome in ("REFUSED", "HELD"):
            state: Any = outcome
            self._write({**whole, "state": state, "reason": message})
            return "refused or held"
        job = Job(command, record.key, record.value, record.headers, None, record.offset, home)
        self._write(records.waiting(whole, job, "waited when the ledger was lost", self._now(), 0.0))
        return "waiting"

    def _whole(self, command: Command, home: str, known: LedgerEntry | None) -> LedgerEntry:
        body = cast(Payout, command["body"])
        entry = known.copy() if known is not None else records.entry(self.org, home, "settlement", self._now())
        entry["number"], entry["hash"], entry["attempt"] = body["marker"], body["money_hash"], 1
        entry["version"], entry["observed_at"] = command["version"], command["observed_at"]
        entry["total"], entry["currency"] = body["payout"], body["currency"]
        entry["extra"] = {**entry["extra"], "fees": body["fees"]}
        return entry

    def _document(self, command: Command, key: str, kind: str, xero_id: str | None) -> None:
        """POSTED where a result has told its id; else as one that may be in Xero."""
        if self._entry(key) is not None:
            return
        body, entry = cast(Payout, command["body"]), records.entry(self.org, key, kind, self._now())
        entry["number"], entry["currency"], entry["attempt"] = body["marker"], body["currency"], 1
        if xero_id is not None:
            fees = kind == "bank_transaction"
            entry["state"], entry["xero_id"], entry["status"] = "POSTED", xero_id, "AUTHORISED"
            entry["total"] = body["transaction_total"] if fees else body["payout"]
            entry["total_tax"] = body["transaction_tax"] if fees else None
            entry["version"], entry["observed_at"] = command["version"], command["observed_at"]
        self._write(entry)
