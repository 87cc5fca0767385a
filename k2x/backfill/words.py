"""What `k2x backfill` tells a person: what a run would do, the way there, and what came of it."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any

from connectors.kentico.backfill import Plan, Span
from k2x.backfill.fences import Fence
from k2x.replay.words import minutes
from schemas.types import Backfill

_CALLS, _PER_CALL, _A_MINUTE = 3, 50, 60  # contacts, invoices and payments of 50 orders; Xero's calls a minute
_LIVE_S, _LINE_S = 0.2, 5.0  # between lines on a terminal, and elsewhere


def said(state: Backfill) -> str:
    """The days of a backfill in words."""
    return f"since {state['since']}" + (f" until {state['until']}" if state["until"] else "")


def plan_lines(instance: str, span: Span, rate: float | None, plan: Plan, found: Sequence[Fence]) -> list[str]:
    """The plan for a person."""
    days = f"since {span.since}" + (f" until {span.until}" if span.until else "")
    lines = [f"{instance}: {plan.orders:,} orders {days}"]
    lines += [f"  {fence.site}: {fence.orders:,} orders{_fate(fence)}" for fence in found]
    if plan.orders:
        at = f"at {rate:g} a second" if rate else "without limit"
        each = plan.requests / plan.orders
        seconds = max(plan.seconds, plan.requests / rate if rate else 0.0)
        lines.append(f"Kentico: about {plan.requests:,} requests ({each:.3f} an order) {at}, about {minutes(seconds)}")
    for org, calls in xero_calls(found).items():
        took = minutes(calls * 60 / _A_MINUTE)
        lines.append(f"Xero: at most {calls:,} calls to {org} (3 for 50 orders), about {took} at {_A_MINUTE} a minute")
    return lines


def _fate(fence: Fence) -> str:
    if fence.org is None:
        return ": no store of k2x.yaml, they would be dead letters"
    if fence.cutover is None:
        return f" to {fence.org}: no cut-over, every paid one is posted"
    before = f"{fence.before_cutover:,} before the cut-over on {fence.cutover} stay out"
    return f" to {fence.org}: {before}, {fence.postable:,} from then on"


def xero_calls(found: Sequence[Fence]) -> dict[str, int]:
    """By organisation, if every order from the cut-over on is paid."""
    orders: dict[str, int] = {}
    for fence in found:
        if fence.org is not None and fence.postable:
            orders[fence.org] = orders.get(fence.org, 0) + fence.postable
    return {org: -(-count // _PER_CALL) * _CALLS for org, count in orders.items()}


def plan_json(instance: str, plan: Plan, found: Sequence[Fence]) -> dict[str, Any]:
    """The plan for a script."""
    return {
        "instance": instance,
        "orders": plan.orders,
        "sites": [
            dataclasses.asdict(fence) | {"cutover": fence.cutover.isoformat() if fence.cutover else None}
            for fence in found
        ],
        "requests": plan.requests,
        "requests_per_order": round(plan.requests / plan.orders, 4) if plan.orders else None,
        "seconds": round(plan.seconds, 1),
        "xero_calls": xero_calls(found),
    }


def done(state: Backfill) -> int:
    """Orders that are dealt with."""
    return state["delivered"] + state["refused"] + state["gone"]


def state_line(instance: str, state: Backfill) -> str:
    """How far a backfill came, for a person."""
    ended = state["finished_at"]
    line = f"{instance} {said(state)}: {done(state):,} of {state['total']:,} orders"
    line += f", finished {ended:%Y-%m-%d %H:%M} UTC" if ended else ", not finished"
    line += f"; {state['refused']:,} dead letters, {state['gone']:,} deleted meanwhile"
    if done(state):
        line += f"; {state['requests'] / done(state):.3f} requests an order"
    return line


def state_json(instance: str, state: Backfill) -> dict[str, Any]:
    """The same for a script."""
    finished = state["finished_at"]
    return {
        "instance": instance,
        **state,
        "began_at": state["began_at"].isoformat(),
        "finished_at": finished.isoformat() if finished else None,
        "requests_per_order": round(state["requests"] / done(state), 4) if done(state) else None,
        "orders_per_second": round(done(state) / state["seconds"], 1) if state["seconds"] else None,
    }


class Progress:
    """One live line on a terminal, else a line now and then; on stderr."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._live = sys.stderr.isatty()
        self._begun = self._said = time.monotonic()
        self._first: int | None = None

    def __call__(self, state: Backfill, problem: str | None) -> None:
        """`problem`: what it waits for."""
        now, count = time.monotonic(), done(state)
        self._first = count if self._first is None else self._first
        if problem is None and now - self._said < (_LIVE_S if self._live else _LINE_S):
            return
        self._said = now
        line = f"{self._instance}: {count:,} of {state['total']:,} orders"
        speed = (count - self._first) / max(now - self._begun, 0.001)
        if speed > 0:
            line += f", {speed:,.0f} a second, about {minutes(max(0, state['total'] - count) / speed)} left"
        if state["refused"]:
            line += f", {state['refused']:,} dead letters"
        line += f" (waiting: {problem})" if problem else ""
        sys.stderr.write(f"\r\x1b[2K{line[:180]}" if self._live else line + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the live line."""
        if self._live:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
