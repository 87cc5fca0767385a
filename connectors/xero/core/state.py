"""What a lane holds in memory: jobs (one a record), documents (one a thing in Xero) and batches (one a call)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from connectors.xero.calls import Call
from schemas.letters import ErrorClass
from schemas.types import Command, LedgerEntry, RefundNote, Tender


class Step(StrEnum):
    """The steps of a document's way, named as in the ledger's intentions."""

    CONTACT = "contact"
    ITEM = "item"
    INVOICE = "invoice"
    PAYMENT = "payment"
    CREDIT_NOTE = "credit_note"
    REFUND = "refund"
    BANK_TRANSACTION = "bank_transaction"
    BANK_TRANSFER = "bank_transfer"
    VOID = "void"
    ALLOCATION = "allocation"
    CHECK = "check"  # a posted invoice is read before it is credited; nothing is written


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a document cannot go on, in a person's words."""

    error_class: ErrorClass
    code: str
    message: str
    hint: str


@dataclass(eq=False, slots=True)
class Job:
    """One command on its way. `offset` None once its record is finished (it then lives in the ledger as WAITING)."""

    command: Command
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    offset: int | None
    origin: int  # the record's offset, whatever has been committed since
    home: str  # the ledger key that holds the command while it waits
    contact_id: str | None = None
    target_id: str | None = None  # what its payments are for: the invoice, or the credit note
    number: str = ""
    note: RefundNote | None = None  # a reissue's credit note, while that is on its way
    due: Decimal | None = None
    tenders: dict[str, Tender] = field(default_factory=dict)  # payments still open, by marker
    refused: list[Refusal] = field(default_factory=list)
    letter: Refusal | None = None  # why it has one
    followers: deque[Job] = field(default_factory=deque)
    troubles: list[str] = field(default_factory=list)  # what calls for it came to, told with its next result
    new_contact: int = 0  # how often Xero would not have the contact's id
    unfound_at: float | None = None  # since when a request of its document alone is answered 404
    parked: bool = False
    done: bool = False


@dataclass(eq=False, slots=True)
class Document:
    """One document's next write. `natural` is what its element is found by in an answer; `element` its exact JSON."""

    step: Step
    key: str
    natural: str
    element: str
    hash: str
    version: datetime
    jobs: list[Job]
    entry: LedgerEntry | None
    attempt: int = 1
    not_before: float = 0.0
    chained: bool = False  # its order already spent a call: others leave one for it
    suspect: Refusal | None = None  # refused as if it were already there: looked up before it is believed
    check: bool = False  # a contact that Xero refuses: what has become of it?
    merged: int = 0  # how often it has been followed to the contact it was merged into
    amount: Decimal | None = None
    parts: dict[str, Any] = field(default_factory=dict)  # a contact's parsed document


MONEY = (Step.PAYMENT, Step.REFUND)
"""Steps that move money: nothing in Xero keeps one from being done twice but what is still due."""


UNNUMBERED = (Step.BANK_TRANSACTION, Step.BANK_TRANSFER)
"""Steps whose documents have nothing unique in Xero: only a look at their day says whether one is there."""


class Rest(StrEnum):
    """Where a batch stands."""

    INTENDING = "intending"  # its intention is on the way to the ledger
    SENDING = "sending"  # its call is in flight
    RESTING = "resting"  # waits for `again_at`


@dataclass(eq=False, slots=True)
class Batch:
    """One call and its documents. Its bytes never change; `dirty` once Xero may have seen them."""

    id: int
    step: Step
    documents: list[Document]
    call: Call
    kind: str  # the budget's kind: write, read_back, reference
    lookup: bool = False
    state: Rest = Rest.INTENDING
    intended_at: float | None = None
    first_sent: float | None = None
    last_sent: float | None = None
    token_id: str | None = None
    dirty: bool = False
    tries: int = 0
    again_at: float = 0.0
    started: float = 0.0
