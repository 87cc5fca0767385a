"""Publishes business rules: each organisation's resolved document as an immutable version on k2x.rules.v1.

Guarantee: a version's document never changes. A document equal to the newest version publishes nothing; `org|latest`
is written in the same batch as its version, after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from k2x.audit.log import read_to_end
from k2x.errors import ConfigError
from k2x.settings import Settings
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from streams.rules.document import RulesDocument, RulesError, load, resolve


@dataclass(frozen=True)
class Published:
    """One organisation's rules: `new` is False where nothing had changed."""

    org: str
    version: int
    sha256: str
    new: bool


def rules_of(settings: Settings, org: str) -> RulesDocument:
    """The rules of an organisation as its file has them now. ConfigError names file, line, key and remedy."""
    path = settings.organisations[org].rules
    try:
        document = load(path)
    except RulesError as error:
        raise ConfigError(str(error)) from error
    if document.organisation != org:
        raise ConfigError(f"{path}: organisation: {document.organisation!r}, but k2x.yaml names this file for {org!r}")
    wanted = {name for name, store in settings.stores.items() if store.organisation == org}
    missing, unknown = sorted(wanted - set(document.stores)), sorted(set(document.stores) - wanted)
    if missing:
        raise ConfigError(f"{path}: stores: no rules for {', '.join(missing)}, which k2x.yaml sends to {org}")
    if unknown:
        raise ConfigError(f"{path}: stores: {', '.join(unknown)} is not a store of {org} in k2x.yaml")
    return document


def publish_rules(settings: Settings, kafka: Mapping[str, Any], codec: Codec, by: str) -> list[Published]:
    """Publish every organisation's rules; all files are read before the first record goes out."""
    documents = {org: resolve(rules_of(settings, org)) for org in sorted(settings.organisations)}
    newest = published(kafka, codec)
    outcome, records = [], []
    for org, document in documents.items():
        sha = hashlib.sha256(document.encode()).hexdigest()
        before = newest.get(org)
        if before is not None and before["sha256"] == sha:
            outcome.append(Published(org, before["version"], sha, new=False))
            continue
        version = before["version"] + 1 if before is not None else 1
        value = codec.encode(
            "rules",
            {
                "org": org,
                "version": version,
                "document": document,
                "sha256": sha,
                "published_at": datetime.now(UTC),
                "published_by": by,
            },
        )
        records += [Record(topics.RULES, f"{org}|{key}".encode(), value) for key in (version, "latest")]
        outcome.append(Published(org, version, sha, new=True))
    deliverer = Deliverer(kafka)
    deliverer.deliver_now(records)
    deliverer.close()
    return outcome


def published(kafka: Mapping[str, Any], codec: Codec) -> dict[str, dict[str, Any]]:
    """The version in force of each organisation, as on the topic."""
    found: dict[str, dict[str, Any]] = {}
    for message in read_to_end(kafka, [topics.RULES]):
        key = (message.key() or b"").decode()
        if key.endswith("|latest") and message.value():
            found[key.removesuffix("|latest")] = codec.decode(message.value() or b"")
    return found
