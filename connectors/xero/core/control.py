"""What the ledger holds besides documents: its birth certificate, the committed offset, a rebuild; and what they prove.

The certificate is written once, when an organisation's ledger begins, and never by a lane at work, whose every
transaction holds the offset. So a ledger topic that was deleted and made anew has an offset and no certificate, however
much a running lane has written into it meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.xero.core import records
from connectors.xero.core.events import Record
from schemas.types import LedgerEntry

PREFIX = "@k2x|"  # no document's key begins so: theirs begin with an instance's slug, or are item codes
CERTIFICATE = f"{PREFIX}ledger"
OFFSET = f"{PREFIX}offset"
REBUILD = f"{PREFIX}rebuild"
KIND = "control"


@dataclass(frozen=True)
class Facts:
    """What a new lane owner finds. `commands`: the command topic's id; `certified`: the one that the certificate names;
    `kept`: the offset in the ledger; `group`: the group's; `low` and `high`: the command topic's ends."""

    empty: bool
    certified: str | None
    kept: int | None
    group: int | None
    commands: str
    low: int
    high: int


@dataclass(frozen=True)
class Standing:
    """`offset`: the next command to come. `lost`: why this cannot be the whole ledger; "" where it is. `certify`: the
    certificate has to be written."""

    offset: int
    lost: str = ""
    certify: bool = False


def standing(facts: Facts) -> Standing:
    """Where a lane stands that has read its ledger."""
    offset = _next(facts)
    if facts.certified is not None:
        return Standing(offset, certify=facts.certified != facts.commands)
    if facts.kept is not None:
        return Standing(offset, lost="its beginning is missing: the topic was made anew while a lane was at work")
    if facts.empty and offset > facts.low:
        return Standing(offset, lost=f"it is empty, though commands up to offset {offset} are finished")
    return Standing(offset, certify=True)  # a new organisation, or a ledger from before there were certificates


def _next(facts: Facts) -> int:
    """Both offsets are committed facts ("everything before is finished"), so the further one holds.

    The ledger's is about the command topic that its certificate names, and no other. An offset beyond the topic's end
    is not about this topic, unless the certificate says so: then its end was lost, and nothing before is unread.
    """
    known = [facts.group, facts.kept if facts.certified == facts.commands else None]
    found = max((offset for offset in known if offset is not None), default=facts.low)
    if found > facts.high:
        return facts.high if facts.certified == facts.commands else facts.low
    return max(found, facts.low)


def certificate(org: str, commands: str, at: datetime) -> LedgerEntry:
    entry = _entry(org, CERTIFICATE, at)
    entry["extra"] = {"commands": commands}
    return entry


def offset(org: str, finished: int, at: datetime) -> LedgerEntry:
    """Every command before `finished` has its outcome."""
    entry = _entry(org, OFFSET, at)
    entry["command_offset"] = finished
    return entry


def rebuild_asked(org: str, record: Record, at: datetime) -> LedgerEntry:
    """Somebody wants the ledger restored from Xero; INTENDED until that is done."""
    entry = _entry(org, REBUILD, at)
    entry["state"], entry["command_offset"] = "INTENDED", record.offset
    if record.command is not None:
        entry["extra"] = {"id": record.command["command_id"]}
    return entry


def rebuild_progress(asked: LedgerEntry, phase: str, counts: Mapping[str, int], at: datetime) -> LedgerEntry:
    """How far it is; phase "" when it is done."""
    told = {name: str(number) for name, number in counts.items()}
    extra = {"id": asked["extra"].get("id", ""), "phase": phase, **told}
    changed: LedgerEntry = {**asked, "extra": extra, "state": "INTENDED" if phase else "POSTED", "updated_at": at}
    return changed


def rebuild_wanted(entry: LedgerEntry | None) -> bool:
    """A rebuild was asked for and is not done."""
    return entry is not None and entry["state"] == "INTENDED"


def _entry(org: str, key: str, at: datetime) -> LedgerEntry:
    entry = records.entry(org, key, KIND, at)
    entry["state"] = "POSTED"
    return entry
