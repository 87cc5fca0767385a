"""Whether an organisation's records can go on when they are sent: rules and reference data. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from k2x.audit.log import read_to_end
from k2x.publish import published
from k2x.replay.errors import NotReady
from k2x.settings import Settings
from schemas.codec import Codec
from schemas.topics import REFERENCE
from streams.rules.document import from_json
from streams.rules.errors import RulesError


def check(kafka: Mapping[str, Any], codec: Codec, settings: Settings, orgs: Iterable[str]) -> set[str]:
    """The organisations with a store whose orders may make items: several commands an order. NotReady names one that
    streams would only park records of, and what it lacks."""
    rules, complete = published(kafka, codec), complete_organisations(kafka)
    several = set()
    for org in orgs:
        if org not in rules:
            raise NotReady(f"{org} has no rules yet: publish them with `k2x rules apply`")
        if org not in complete:
            raise NotReady(
                f"{org} has no complete snapshot of Xero's reference data yet: is the sink running and connected? "
                "See `k2x xero status`"
            )
        own = [name for name, store in settings.stores.items() if store.organisation == org]
        try:
            document = from_json(rules[org]["document"])
            if any(document.store(name).unknown_item == "create_untracked" for name in own):
                several.add(org)
        except RulesError as error:
            raise NotReady(f"the rules of {org} that are in force cannot be used: {error}") from error
    return several


def complete_organisations(kafka: Mapping[str, Any]) -> set[str]:
    """The organisations of which a whole snapshot is on the reference topic."""
    complete: dict[str, bool] = {}
    for message in read_to_end(kafka, [REFERENCE]):
        org, _, rest = (message.key() or b"").decode().partition("|")
        if rest.startswith("COMPLETE|"):
            complete[org] = message.value() is not None
    return {org for org, whole in complete.items() if whole}


def known_items(kafka: Mapping[str, Any], org: str) -> set[str]:
    """The codes of the items that streams knows of."""
    beginning, found = f"{org}|ITEM|".encode(), {}
    for message in read_to_end(kafka, [REFERENCE]):
        if (message.key() or b"").startswith(beginning):
            found[(message.key() or b"").decode().removeprefix(f"{org}|ITEM|")] = message.value() is not None
    return {code for code, there in found.items() if there}
