"""Names, keys and settings of every topic: the one registry. `k2x topics apply` creates what stands here.

Topics that hold unfinished work, all sources and all dead letters never expire (retention.ms=-1, DESIGN §2): Xero is
rebuilt from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

ORDERS = "kentico.orders.v1"
CUSTOMERS = "kentico.customers.v1"
PRODUCTS = "kentico.products.v1"
CHANGES = "kentico.changes.v1"
# What payment gateways have paid out (docs/settlements.md).
SETTLEMENTS = "gateway.settlements.v1"
WRITEBACK = "kentico.writeback.v1"
PARKED = "kentico.orders.v1-parked"
CUSTOMERS_PARKED = "kentico.customers.v1-parked"
PRODUCTS_PARKED = "kentico.products.v1-parked"
SETTLEMENTS_PARKED = "gateway.settlements.v1-parked"
# Copies of source records that a replay sends through the same agents: the sources themselves are never written to.
REPLAY_OF = {
    ORDERS: "kentico.orders.v1-replay",
    CUSTOMERS: "kentico.customers.v1-replay",
    PRODUCTS: "kentico.products.v1-replay",
    SETTLEMENTS: "gateway.settlements.v1-replay",
}
REPLAYS = "k2x.replays.v1"
RESULTS = "xero.results.v1"
REFERENCE = "xero.reference.v1"
RULES = "k2x.rules.v1"
TOKENS = "k2x.tokens.v1"
CURSORS = "k2x.cursors.v1"
# Results that a system refused to be told of, once more, for it alone: what `k2x dlt redrive` brings back.
CONFIRMATIONS = "k2x.confirmations.v1"

DEAD_LETTER_SUFFIX = "-dlt"
ORG_SLUG = re.compile(r"^[a-z0-9-]+$")
# librdkafka reads a subscription as a pattern when it begins with ^. It must not match the dead letters (DESIGN §2).
COMMANDS_PATTERN = r"^xero\.commands\.[a-z0-9-]+\.v1$"

_FOREVER = {"retention.ms": "-1", "retention.bytes": "-1"}
_COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.ms": "3600000"}


@dataclass(frozen=True)
class Topic:
    """A topic as it must be: `schema` is the stem of its .avsc, `one_partition` may never be changed by settings."""

    name: str
    schema: str
    one_partition: bool = False
    config: dict[str, str] = field(default_factory=lambda: dict(_FOREVER))


def commands(org: str) -> str:
    """The command topic of an organisation; it has one partition, so one sink owns the organisation."""
    return f"xero.commands.{_slug(org)}.v1"


def ledger(org: str) -> str:
    """The compacted ledger of an organisation."""
    return f"xero.ledger.{_slug(org)}.v1"


def dead_letter(topic: str) -> str:
    return topic + DEAD_LETTER_SUFFIX


def org_of(topic: str) -> str:
    """The organisation of a command or ledger topic; ValueError for another topic."""
    match = re.match(r"^xero\.(?:commands|ledger)\.([a-z0-9-]+)\.v1$", topic)
    if not match:
        raise ValueError(f"{topic} belongs to no organisation")
    return match.group(1)


def order_key(instance: str, order_id: int | str) -> bytes:
    """Record key of an order, and the stem of its ledger keys."""
    return f"{instance}|{order_id}".encode()


def settlement_key(instance: str, gateway: str, settlement_id: str) -> bytes:
    """Record key of a settlement, and the stem of its ledger keys."""
    return f"{instance}|settlement/{gateway}/{settlement_id}".encode()


def all_topics(orgs: Iterable[str]) -> list[Topic]:
    """Every topic a deployment needs, dead letters included."""
    topics = [
        Topic(ORDERS, "order"),
        Topic(CUSTOMERS, "customer"),
        Topic(PRODUCTS, "product"),
        Topic(CHANGES, "change"),
        Topic(SETTLEMENTS, "settlement"),
        Topic(WRITEBACK, "writeback"),
        Topic(PARKED, "order"),
        Topic(CUSTOMERS_PARKED, "customer"),
        Topic(PRODUCTS_PARKED, "product"),
        Topic(SETTLEMENTS_PARKED, "settlement"),
        Topic(RESULTS, "result"),
        Topic(CONFIRMATIONS, "result"),
        Topic(REFERENCE, "reference", one_partition=True, config=dict(_COMPACTED)),
        Topic(RULES, "rules", one_partition=True, config=dict(_COMPACTED)),
        Topic(TOKENS, "token", one_partition=True, config=dict(_COMPACTED)),
        Topic(REPLAYS, "replay", one_partition=True, config=dict(_COMPACTED)),
        Topic(CURSORS, "cursor", one_partition=True, config=dict(_COMPACTED)),
    ]
    # A copy is unfinished work until streams has confirmed it, so it never expires either; the replay itself deletes
    # what is confirmed, and the topics stay small (k2x/replay/backlog.py).
    topics += [Topic(REPLAY_OF[source], schema) for source, schema in _REPLAYED]
    topics += [Topic(dead_letter(t), s) for t, s in _WITH_DEAD_LETTERS]
    for org in orgs:
        topics += [
            Topic(commands(org), "command", one_partition=True),
            Topic(dead_letter(commands(org)), "command"),
            Topic(ledger(org), "ledger", one_partition=True, config=dict(_COMPACTED)),
        ]
    return topics


_REPLAYED = ((ORDERS, "order"), (CUSTOMERS, "customer"), (PRODUCTS, "product"), (SETTLEMENTS, "settlement"))
_WITH_DEAD_LETTERS = (
    (ORDERS, "order"),
    (CUSTOMERS, "customer"),
    (PRODUCTS, "product"),
    (CHANGES, "change"),
    (SETTLEMENTS, "settlement"),
    (WRITEBACK, "writeback"),
    (RESULTS, "result"),
    (CONFIRMATIONS, "result"),
)


def _slug(org: str) -> str:
    if not ORG_SLUG.match(org):
        raise ValueError(f"organisation slug {org!r}: only a-z, 0-9 and - are allowed")
    return org
