"""Executes the order flow that the rules document lists: each step an operator, bound to its pure function. Pure.

Guarantee: what is not in the document does not run, and equal arguments give equal outcomes: the agents, replay, dry
run and the preview all call `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from schemas.topics import settlement_key
from schemas.types import Command, CustomerChanged, Order, ProductChanged, Result, RulesVersion, Settlement, WriteBack
from streams.errors import NotUsable
from streams.flow import Made, Refused, Suppressed
from streams.reference_copy import Rows
from streams.rules.document import from_json
from streams.rules.errors import RulesError
from streams.rules.model import RulesDocument, Step
from streams.rules.operators import TriggerWith
from streams.rules.reference import OrgReference, build
from streams.transform import (
    command,
    contact,
    customer,
    dates,
    exchange,
    gate,
    invoice,
    items,
    lines,
    payment,
    product,
    refund,
    sale,
    settlement,
    tax,
    validate,
    write_back,
    zones,
)
from streams.transform.classes import fold
from streams.transform.context import Compiled, Draft, Store
from streams.transform.errors import Refuse, Suppress

_OUT_OF_SCOPE = ("NONE", "BASEXCLUDED")  # what is no supply, in Xero's editions (xero-data.md §2)
_EVENTS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class StepTrace:
    """What one step did: `outcome` done, suppressed, refused or command; `shows` what it gave, JSON-ready."""

    name: str
    use: str
    outcome: str
    shows: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order. `findings`: what was left out or noticed on the way, also of one that was refused.

    `items`: commands for items that the rules say to create, for the same topic, before the sale. `refund`: the one
    that follows the sale.
    """

    made: Command | Suppressed | Refused
    items: tuple[Command, ...] = ()
    refund: Command | None = None
    findings: tuple[str, ...] = ()
    trace: tuple[StepTrace, ...] = ()


def trigger(draft: Draft, parameters: TriggerWith) -> None:
    """Event types that do not start the flow end here."""
    event = draft.order["event_type"]
    memo = draft.store.memo
    starts = memo.get(("event", event))
    if starts is None:
        starts = any(fnmatchcase(event, pattern) for pattern in parameters.events)
        if len(event) < _EVENTS_LIMIT:
            memo["event", event] = starts
    if not starts:
        raise Suppress("event_not_listed", f"{draft.who}: {event} does not start the workflow")


def tell(draft: Draft) -> None:
    """Nothing for the command: results are written back when they come (`writeback`)."""


_PLAIN: Mapping[str, Callable[[Draft], None]] = {
    "gate.paid": gate.paid,
    "gate.cutover": gate.cutover,
    "lookup.dates": dates.dates,
    "lookup.currency": exchange.currency,
    "map.lines": lines.lines,
    "lookup.items": items.items,
    "lookup.accounts": items.accounts,
    "lookup.tax": tax.tax,
    "map.contact": contact.contact,
    "map.invoice": invoice.invoice,
    "map.payments": payment.payments,
    "map.refund": refund.refund,
    "validate.currency": validate.currency,
    "validate.accounts": validate.accounts,
    "validate.items": validate.items,
    "validate.tax_types": validate.tax_types,
    "validate.tracking": validate.tracking,
    "validate.lock_dates": validate.lock_dates,
    "validate.lengths": validate.lengths,
    "validate.totals": validate.totals,
    "post.sale": sale.post,
    "write_back.columns": tell,
}
_WITH: Mapping[str, Callable[[Draft, Any], None]] = {
    "trigger.order": trigger,
    "gate.deleted": gate.deleted,
    "gate.refund": gate.refund,
    "gate.complete": gate.complete,
}
BOUND = frozenset(_PLAIN) | frozenset(_WITH)
"""Operators that can be executed."""


def compile_store(rules: RulesDocument, reference: OrgReference, *, store: str, rules_version: int) -> Store:
    """A store's flow, ready to run. NotUsable: no rules for the store, or the organisation's time zone is not known."""
    try:
        own = rules.store(store)
    except RulesError as error:
        raise NotUsable(str(error)) from error
    instance, _, site = store.partition("/")
    zone = zones.named(own.time_zone) if own.time_zone else zones.zone_of(reference.time_zone)
    if zone is None:
        raise NotUsable(
            f"{reference.name} has the time zone {reference.time_zone!r}, which is not known: "
            f"set stores.{store}.time_zone"
        )
    tax_types = reference.tax_rates
    scope = own.out_of_scope_tax or next((n for n in _OUT_OF_SCOPE if n in tax_types and tax_types[n].active), None)
    ends = ((sku[:-1], code) for sku, code in own.accounts.sku.items() if sku.endswith("*"))
    return Store(
        org=rules.organisation,
        name=store,
        instance=instance,
        site=site,
        rules=own,
        rules_version=rules_version,
        contact_prefix=rules.contact_prefix(instance),
        reference=reference,
        zone=zone,
        steps=tuple(_bind(step) for step in rules.workflow if step.enabled),
        lock=reference.lock_date,
        sku_prefixes=tuple(sorted(ends, key=lambda pair: -len(pair[0]))),
        class_accounts={fold(name): code for name, code in own.accounts.tax_class.items()},
        rules_have_dates=any(rule.from_ or rule.to for rule in own.tax),
        out_of_scope=scope,
        tracking=tuple({"Name": name, "Option": option} for name, option in own.tracking.items()),
        settlements=rules.settlements,
        org_zone=zones.zone_of(reference.time_zone),
    )


def _bind(step: Step) -> Compiled:
    gives = tuple(sorted(step.operator.gives))
    if step.use in _PLAIN:
        return Compiled(step.name, step.use, _PLAIN[step.use], gives)
    parameters = step.operator.parameters.model_validate(step.with_)
    return Compiled(step.name, step.use, partial(_with, _WITH[step.use], parameters), gives)


def _with(function: Callable[[Draft, Any], None], parameters: Any, draft: Draft) -> None:
    function(draft, parameters)


def run(order: Order, store: Store, now: datetime, *, trace: bool = False) -> Outcome:
    """One order through its store's flow: a command, a reason why there is none, or a refusal.

    `now` aware UTC; it decides nothing but whether a date lies in the future. With `trace`, what each step did.
    """
    draft = Draft(order, store, now)
    steps: list[StepTrace] = []
    name = ""
    try:
        for step in store.steps:
            name = step.name
            step.run(draft)
            if trace:
                outcome = "done" if draft.command is None else "command"
                steps.append(StepTrace(step.name, step.use, outcome, _shown(draft, step)))
            if draft.command is not None:
                return Outcome(
                    draft.command, _new_items(draft), draft.refund_command, tuple(draft.findings), tuple(steps)
                )
    except Suppress as stop:
        if trace:
            steps.append(StepTrace(step.name, step.use, "suppressed", {"code": stop.code, "message": stop.message}))
        return Outcome(Suppressed(stop.code, stop.message), (), None, tuple(draft.findings), tuple(steps))
    except Refuse as stop:
        if trace:
            shows = {"code": stop.code, "message": stop.message, "hint": stop.hint}
            steps.append(StepTrace(step.name, step.use, "refused", shows))
        reason = stop.reason(org=store.org, store=store.name, natural_key=draft.key)
        return Outcome(Refused(reason, name), (), None, tuple(draft.findings), tuple(steps))
    why = Suppressed("workflow_without_post", f"{draft.who}: the workflow has no step that posts")
    return Outcome(why, (), None, tuple(draft.findings), tuple(steps))


def _new_items(draft: Draft) -> tuple[Command, ...]:
    store = draft.store
    return tuple(command.envelope(draft.order, store, "ITEM", item["code"], item) for item in draft.new_items)


_SHOWN: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "due_date"),
    "currency": ("currency", "decimals", "rate", "total", "total_tax"),
    "lines": ("inclusive", "lines"),
    "items": ("items",),
    "accounts": ("lines",),
    "tax": ("lines", "class_taxes"),
    "contact": ("contact",),
    "invoice": ("number", "reference", "invoice"),
    "payments": ("payments",),
    "refund": ("refund_command",),
    "command": ("command",),
}


def _shown(draft: Draft, step: Compiled) -> dict[str, Any]:
    return {name: _json(getattr(draft, name)) for given in step.shows for name in _SHOWN[given]}


def _json(value: Any) -> Any:
    """JSON-ready, without the order's own rows."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime) or hasattr(value, "isoformat"):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _json(getattr(value, f.name)) for f in fields(value) if f.name not in ("item", "account")}
    if isinstance(value, Mapping):
        return {str(key): _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    return value


class Workflow:
    """A store's flow as the agents call it: a `streams.flow.StoreFlow`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._writes_back = any(step.use == "write_back.columns" for step in store.steps)

    def order(self, order: Order, now: datetime) -> Made:
        outcome = run(order, self.store, now)
        made = outcome.made
        if isinstance(made, Suppressed | Refused):
            return made
        if outcome.items or outcome.refund is not None:
            return (*outcome.items, made, *([outcome.refund] if outcome.refund is not None else []))
        return made

    def contact(self, change: CustomerChanged, now: datetime) -> Made:
        key = f"{change['instance']}|{change['customer']['CustomerID']}"
        return self._made("contact", key, lambda: customer.contact_command(change, self.store))

    def item(self, change: ProductChanged, now: datetime) -> Made:
        key = f"{change['instance']}|{change['SKUID']}"
        return self._made("item", key, lambda: product.item_command(change, self.store))

    def settlement(self, given: Settlement, now: datetime) -> Made:
        key = settlement_key(given["instance"], given["gateway"], given["settlement_id"]).decode()
        return self._made("settlement", key, lambda: settlement.make(given, self.store))

    def writeback(self, result: Result, now: datetime) -> WriteBack | None:
        return write_back.columns(result, self.store, now) if self._writes_back else None

    def _made(self, step: str, key: str, make: Callable[[], Command]) -> Made:
        try:
            return make()
        except Suppress as stop:
            return Suppressed(stop.code, stop.message)
        except Refuse as stop:
            return Refused(stop.reason(org=self.store.org, store=self.store.name, natural_key=key), step)


class WorkflowCompiler:
    """A `streams.flow.Compiler`: an organisation's published rules and reference rows become its stores' flows."""

    def compile(self, org: str, stores: Sequence[str], rows: Rows, rules: RulesVersion) -> Mapping[str, Workflow]:
        """A flow for each store. NotUsable if rules and reference data cannot be used, or not together."""
        try:
            document = from_json(rules["document"])
        except RulesError as error:
            raise NotUsable(f"rules version {rules['version']} of {org}: {error}") from error
        reference = build((kind, code, row["document"]) for (kind, code), row in rows.items())
        if reference is None:
            raise NotUsable(f"{org}: the reference data has no ORGANISATION row: does the sink read it?")
        made = {}
        for store in stores:
            compiled = compile_store(document, reference, store=store, rules_version=rules["version"])
            made[store] = Workflow(compiled)
        return made
