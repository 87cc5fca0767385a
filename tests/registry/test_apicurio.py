"""Ids, look-up and BACKWARD compatibility through a real Apicurio registry's Confluent-compatible API.

Not in the default suite (a download of 159 MB): `make test-registry`. The registry keeps its data in Kafka, with the
environment that docker-compose.yml gives it.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import schemas.registry
from schemas.codec import Codec
from schemas.errors import Incompatible, UnknownSchema
from schemas.ids import NAMES, current
from schemas.registry import SchemaRegistry
from tests.registry.conftest import running

pytestmark = pytest.mark.registry

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def with_field(name: str, field: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(current(name))
    changed["fields"].append(field)
    return changed


def newest_is(monkeypatch: pytest.MonkeyPatch, name: str, schema: dict[str, Any]) -> None:
    """As if <name>.avsc had been edited to `schema`."""
    monkeypatch.setattr(schemas.registry, "current", lambda asked: schema if asked == name else current(asked))


def test_every_schema_is_registered_once_and_found_by_its_id(url: str) -> None:
    first, second = SchemaRegistry(url), SchemaRegistry(url)
    ids = {name: first.id_of(name) for name in NAMES}
    assert len(set(ids.values())) == len(NAMES)
    assert {name: second.id_of(name) for name in NAMES} == ids, "registering again gives the same id"
    for name, schema_id in ids.items():
        found, schema = SchemaRegistry(url).schema(schema_id)
        assert found == name
        assert [f["name"] for f in schema["fields"]] == [f["name"] for f in current(name)["fields"]]


def test_one_process_reads_what_another_wrote(url: str) -> None:
    value = {
        "instance": "emea",
        "store": "emea/GoatUK",
        "order_id": "1",
        "fields": {"OrderXeroInvoiceNumber": "UK-1"},
        "version": NOW,
        "at": NOW,
        "traceparent": None,
    }
    assert Codec(SchemaRegistry(url)).decode(Codec(SchemaRegistry(url)).encode("writeback", value)) == value


def test_a_restarted_registry_gives_the_same_ids(installed: Path, kafka: str, url: str) -> None:
    before = {name: SchemaRegistry(url).id_of(name) for name in NAMES}
    with running(installed, kafka) as restarted:
        registry = SchemaRegistry(restarted)
        assert {registry.schema(schema_id)[0]: schema_id for schema_id in before.values()} == before
        assert {name: registry.id_of(name) for name in NAMES} == before


def test_an_unknown_id_is_named(url: str) -> None:
    with pytest.raises(UnknownSchema, match="has no schema 987654"):
        SchemaRegistry(url).schema(987654)


def test_a_change_that_breaks_readers_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SchemaRegistry(url).id_of("change")
    newest_is(monkeypatch, "change", with_field("change", {"name": "no_default", "type": "string"}))
    with pytest.raises(Incompatible, match=r"k2x\.change-value: the registry refuses"):
        SchemaRegistry(url).id_of("change")


def test_a_compatible_change_gets_an_id_of_its_own_and_old_records_stay_readable(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = SchemaRegistry(url).id_of("result")
    optional = {"name": "added_later", "type": ["null", "string"], "default": None}
    newest_is(monkeypatch, "result", with_field("result", optional))
    after = SchemaRegistry(url)
    assert after.id_of("result") != before
    assert after.schema(before)[0] == "result"
    assert after.schema(after.id_of("result"))[1]["fields"][-1]["name"] == "added_later"
