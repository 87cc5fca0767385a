"""What is to be replayed: filters, and whose records they take. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Message

from k2x.dead_letters.selection import is_named
from k2x.settings import Settings
from schemas.codec import Codec
from schemas.topics import CUSTOMERS, ORDERS, PRODUCTS, SETTLEMENTS


@dataclass(frozen=True)
class Chosen:
    """Each filter must hold. `since` and `until`: when the record came onto its topic. `everything`: customers,
    products and settlements too."""

    orgs: tuple[str, ...]
    stores: frozenset[str] = frozenset()  # empty: every store
    orders: tuple[str, ...] = ()  # as a person writes them; empty: every order
    since: datetime | None = None
    until: datetime | None = None
    everything: bool = False

    @property
    def topics(self) -> tuple[str, ...]:
        """In the order in which they are sent. Items first: an order's lines and accounts go by the items that Xero
        has. Customers after them: their changes go only to contacts that exist, which orders make. Settlements last:
        they pay out what orders have brought in."""
        return (PRODUCTS, ORDERS, CUSTOMERS, SETTLEMENTS) if self.everything else (ORDERS,)

    def at(self, when: datetime) -> bool:
        """Whether a record of that time may be meant."""
        return (self.since is None or when >= self.since) and (self.until is None or when < self.until)

    def said(self) -> str:
        """For a person."""
        parts = [f"organisation{'s' if len(self.orgs) > 1 else ''} {', '.join(self.orgs)}"]
        if self.stores:
            parts.append(f"stores {', '.join(sorted(self.stores))}")
        if self.orders:
            parts.append(f"orders {', '.join(self.orders)}")
        if self.since:
            parts.append(f"since {self.since.isoformat()}")
        if self.until:
            parts.append(f"until {self.until.isoformat()}")
        if self.everything:
            parts.append("customers, products and settlements too")
        return "; ".join(parts)


@dataclass(frozen=True)
class Sieve:
    """One organisation's part of what is chosen."""

    org: str
    chosen: Chosen
    fed: Mapping[str, Mapping[str, str]]  # instance → its stores, each with its organisation

    @classmethod
    def of(cls, org: str, chosen: Chosen, settings: Settings) -> Sieve:
        fed: dict[str, dict[str, str]] = {}
        for name, store in settings.stores.items():
            fed.setdefault(name.partition("/")[0], {})[name] = store.organisation
        return cls(org, chosen, fed)

    def takes(self, message: Message, codec: Codec) -> bool:
        """Whether a record is meant. Decodes no more of it than it must; SchemaError where that cannot be read."""
        if not self.chosen.at(datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)):
            return False
        instance, _, number = (message.key() or b"").decode("utf-8", "replace").partition("|")
        if self.org not in self.fed.get(instance, {}).values():
            return False
        if message.topic() == SETTLEMENTS:
            head = codec.head(message.value() or b"", "site_name")
            return self.settles(head["instance"], head["site_name"])
        if message.topic() != ORDERS:  # a customer or product is for every organisation that its instance feeds
            return True
        asked = self.chosen.orders
        if asked and not any(one.endswith(number) for one in asked):
            return False
        head = codec.head(message.value() or b"", "site_name")
        store = self.store_of(head["instance"], head["site_name"])
        if store is None or self.fed[head["instance"]][store] != self.org:
            return False
        if self.chosen.stores and store not in self.chosen.stores:
            return False
        return not asked or any(is_named(one, head["instance"], store, number) for one in asked)

    def settles(self, instance: str, site: str | None) -> bool:
        """Whether a settlement is this organisation's, as streams finds it: by its store's, or the instance's only."""
        own = self.fed.get(instance, {})
        return own.get(f"{instance}/{site}") == self.org if site else set(own.values()) == {self.org}

    def store_of(self, instance: str, site: str | None) -> str | None:
        """As streams finds it: by name, or the instance's only store."""
        own = self.fed.get(instance, {})
        if site:
            name = f"{instance}/{site}"
            return name if name in own else None
        return next(iter(own)) if len(own) == 1 else None
