"""Sends letters again to where they came from: key and value bytes unchanged, headers kept, the count one higher.

Guarantees: a letter is on record as sent only after the broker has acknowledged it; what is interrupted stays open and
may be sent again, for the sink leaves alone what it has already posted. No letter is sent more than five times.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from k2x.dead_letters.archive import MARK, SENT_AGAIN, SKIPPED, mark_key
from k2x.dead_letters.errors import DecisionImpossible, RedriveInterrupted
from k2x.dead_letters.letter import Letter, State
from schemas.codec import Codec
from schemas.delivery import Record
from schemas.errors import NotDelivered
from schemas.letters import ErrorClass, Headers
from schemas.topics import (
    CUSTOMERS,
    CUSTOMERS_PARKED,
    ORDERS,
    PARKED,
    PRODUCTS,
    PRODUCTS_PARKED,
    REPLAY_OF,
    RESULTS,
    SETTLEMENTS,
    SETTLEMENTS_PARKED,
    all_topics,
)

MOST_REPLAYS = 5  # DESIGN's quarantine: what has failed so often needs a person, not another try
DECISIONS = ("post", "skip", "reissue", "void", "credit")
# What the sink does with the header x-decision on a held command, by the letter's code.
SINK_DECISIONS: Mapping[str, frozenset[str]] = {
    "other_money": frozenset({"post", "reissue"}),
    "not_reissued": frozenset({"post", "reissue"}),
    "deleted_after_posting": frozenset({"post", "void"}),
    "refund_of_unpaid": frozenset({"void", "credit"}),
}
DECISION_HEADER = "x-decision"
REPLAY_COUNT = "x-replay-count"
REPLAY_ID = "x-replay-id"  # of a letter that a replay met: sent again by a person, it is no longer that replay's

_SOURCE_OF = {PARKED: ORDERS, CUSTOMERS_PARKED: CUSTOMERS, PRODUCTS_PARKED: PRODUCTS, SETTLEMENTS_PARKED: SETTLEMENTS}
_SOURCE_OF |= {replay: source for source, replay in REPLAY_OF.items()}
_CHUNK = 100  # records a delivery: an interruption leaves at most so many in doubt
_MEANINGS = {
    "reissue": "an order whose money changed is to be credited and issued anew",
    "void": "the invoice is unpaid, and is to be voided because the order was refunded or deleted",
    "credit": "the invoice is unpaid, and a credit note of the refund is to be allocated to it",
    "post": "Xero has been corrected by hand to this version, or its invoice voided because the order was deleted",
}


class Delivery(Protocol):
    """What is needed of schemas.delivery.Deliverer."""

    def deliver_now(self, records: Sequence[Record]) -> None: ...


@dataclass(frozen=True)
class Step:
    """What happens to one letter: it is sent `to` a topic, skipped, or left where it is because of `left`."""

    letter: Letter
    to: str = ""
    skip: bool = False
    left: str = ""
    decision: str | None = None

    @property
    def record(self) -> Record:
        """The letter's own bytes for its origin."""
        letter = self.letter
        return Record(self.to, letter.key, letter.raw, headers(letter, self.decision))


def plan(
    letters: Iterable[Letter],
    decision: str | None,
    orgs: Iterable[str],
    most: int | None = None,
    *,
    foreign: Iterable[str] = (),
) -> list[Step]:
    """What a redrive would do, oldest letter first, and no more than `most` of them. DecisionImpossible for a decision
    that makes no sense for any of them. `foreign`: topics of other producers (Debezium) that letters may go back to."""
    letters = list(letters)
    if decision is not None and decision != "skip" and letters and not any(_fits(one, decision) for one in letters):
        raise DecisionImpossible(_impossible(decision, letters))
    known = {topic.name for topic in all_topics(orgs)} | set(foreign)
    steps: list[Step] = []
    acting = 0
    for letter in sorted(letters, key=lambda found: found.at):
        step = _step(letter, decision, known)
        if not step.left:
            if most is not None and acting == most:
                step = Step(letter, left=f"--max {most} is reached")
            else:
                acting += 1
        steps.append(step)
    return steps


def _step(letter: Letter, decision: str | None, known: set[str]) -> Step:
    held = letter.error_class == ErrorClass.HELD
    if decision == "skip":
        return Step(letter, skip=True)
    if letter.state is State.SUPERSEDED:  # its count and its version are older than the newer letter's
        return Step(letter, left=f"{letter.why}: send that one")
    if letter.replays + 1 > MOST_REPLAYS:
        return Step(
            letter,
            left=f"quarantined: it has been sent again {letter.replays} times and failed each time. Mend the cause "
            "(`k2x dlt show`); then change the order in Kentico, which makes a new version, or `--decision skip`",
        )
    if held and decision is None:
        return Step(letter, left="held: a person must decide. `--decision skip` once you have dealt with it in Xero")
    if decision is not None and not _fits(letter, decision):
        return Step(letter, left=_impossible(decision, [letter]))
    return Step(letter, to=origin(letter, known), decision=decision)


def _fits(letter: Letter, decision: str) -> bool:
    """Whether whoever takes the letter again knows what to do with this decision."""
    return letter.error_class == ErrorClass.HELD and decision in SINK_DECISIONS.get(letter.code, frozenset())


def _impossible(decision: str, letters: Sequence[Letter]) -> str:
    codes = ", ".join(sorted({letter.code or "no code" for letter in letters}))
    takes = " and ".join(sorted(code for code, decisions in SINK_DECISIONS.items() if decision in decisions))
    return (
        f"--decision {decision} means that {_MEANINGS[decision]}: it is for held letters of {takes}, not for {codes}. "
        "Do what is to be done in Xero or Kentico by hand, then `--decision skip`, or redrive without a decision."
    )


def origin(letter: Letter, known: set[str]) -> str:
    """Where the record came from. One that was parked or copied by a replay goes to its source; where the origin is no
    topic of this deployment, to the topic whose dead letters these are."""
    said = letter.header("__connect.errors.topic")
    said = _SOURCE_OF.get(said, said)
    return said if said in known else letter.home


def headers(letter: Letter, decision: str | None) -> Headers:
    """The letter's headers in their order, the count one higher."""
    own = {REPLAY_COUNT, DECISION_HEADER, REPLAY_ID}
    kept = [(name, value) for name, value in letter.headers if name not in own]
    kept.append((REPLAY_COUNT, str(letter.replays + 1).encode()))
    if decision is not None:
        kept.append((DECISION_HEADER, decision.encode()))
    return kept


def carry_out(
    steps: Sequence[Step],
    delivery: Delivery,
    codec: Codec,
    *,
    by: str,
    clock: Callable[[], datetime],
    rate: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Do it, at most `rate` letters a second; how many were sent or skipped. RedriveInterrupted when the broker does
    not acknowledge."""
    acting = [step for step in steps if not step.left]
    size = _CHUNK if rate is None else max(1, min(_CHUNK, math.floor(rate)))
    begun, done = monotonic(), 0
    while done < len(acting):
        chunk = acting[done : done + size]
        try:
            delivery.deliver_now([step.record for step in chunk if not step.skip])
            delivery.deliver_now([mark(step, codec, by, clock()) for step in chunk])
        except NotDelivered as error:
            raise RedriveInterrupted(
                f"{done} of {len(acting)} letters are done; the next {len(chunk)} are in doubt: {error} They "
                "stay open: run the same command again; nothing is posted twice by it"
            ) from error
        done += len(chunk)
        progress(done, len(acting))
        if rate is not None and done < len(acting):
            sleep(max(0.0, begun + done / rate - monotonic()))
    return done


def mark(step: Step, codec: Codec, by: str, now: datetime) -> Record:
    """The record of it: a result of kind `letter`, which changes no order's state."""
    letter = step.letter
    instance, _, number = letter.order_key.partition("|")
    what = "skipped" if step.skip else f"sent again to {step.to}"
    result: dict[str, Any] = {
        "org": letter.org or None,
        "instance": instance or letter.key_text.partition("|")[0],
        "store": letter.store or None,
        "order_id": number or None,
        "kind": MARK,
        "ordinal": 0,
        "key": letter.key_text,
        "outcome": "UNCHANGED",
        "xero_id": None,
        "number": None,
        "status": None,
        "total": None,
        "total_tax": None,
        "amount_due": None,
        "currency": None,
        "version": letter.version or letter.at,
        "error_class": letter.error_class or None,
        "error_code": SKIPPED if step.skip else SENT_AGAIN,
        "message": f"{what} by {by}" + (f", decision {step.decision}" if step.decision else ""),
        "hint": None,
        "findings": [letter.id],
        "received_at": None,
        "at": now,
        "command_id": None,
        "traceparent": letter.header("traceparent") or None,
    }
    return Record(RESULTS, mark_key(letter), codec.encode("result", result))
