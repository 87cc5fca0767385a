"""Debezium's Avro through a real registry: its schemas registered as Confluent's converter does, its envelopes read by
their ids, also after a column was added; the registry being away delays and loses nothing.
"""

from __future__ import annotations

import asyncio
import copy
import json
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer

from connectors.kentico.cdc import run_cdc
from connectors.kentico.sandbox.cdc import Capture
from connectors.kentico.sandbox.schema import ORDER
from connectors.kentico.sandbox.server import Sandbox
from connectors.kentico.settings import CdcProcessSettings, CdcSettings
from schemas import topics
from schemas.registry import SchemaRegistry
from tests.connectors.kentico.conftest import Broker, broker, codec, utc_now  # noqa: F401 - fixtures
from tests.connectors.kentico.rig import instance, running, until

pytestmark = [pytest.mark.registry, pytest.mark.kafka]


def registered(url: str, subject: str, schema: dict[str, Any]) -> int:
    """The id, as Confluent's AvroConverter asks for it (auto.register.schemas)."""
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    body = {"schema": json.dumps(schema)}
    answer = httpx.post(f"{url}/subjects/{subject}/versions", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


@dataclass
class Rig:
    """The shop captured in Avro, and our process over it, which knows only the registry's address."""

    broker: Broker
    sandbox: Sandbox
    capture: Capture
    cdc: CdcSettings

    def taking(self, url: str) -> Callable[[asyncio.Event], Any]:
        known = instance(self.sandbox, "emea", cdc=self.cdc, secrets=())
        told = CdcProcessSettings(instances=(known,), group_id=self.broker.group("cdc"))
        deliver, own = self.broker.deliverer(), self.broker
        return lambda stop: run_cdc(told, own.conf, own.codec, deliver, stop, utc_now, SchemaRegistry(url))

    def place(self, count: int) -> set[int]:
        shop = self.sandbox.shops["emea"]
        site = next(iter(shop.catalogue.sites))
        return {shop.place("plain", site, n, "webhook") for n in range(count)}

    def hinted(self) -> set[int]:
        found = self.broker.everything(topics.CHANGES)
        assert {(hint["source"], hint["instance"]) for hint in found} <= {("CDC", "emea")}
        return {hint["object_id"] for hint in found if hint["object_type"] == "ecommerce.order"}


@pytest.fixture
async def rig(broker: Broker, tmp_path: Path, url: str) -> AsyncIterator[Rig]:  # noqa: F811 - the fixture
    server = Sandbox(tmp_path / "shop")
    await server.start()
    await server.trade.stop()
    shop = server.shops["emea"]
    capture = Capture(
        shop.database,
        server.clock,
        broker.bootstrap,
        prefix=broker.prefix,
        form="avro",
        register=lambda subject, schema: registered(url, subject, schema),
    )
    await asyncio.to_thread(capture.start)
    yield Rig(broker, server, capture, CdcSettings(topic_prefix=broker.prefix, database=capture.name))
    await asyncio.to_thread(capture.stop)
    await server.stop()


async def test_avro_envelopes_become_hints_by_the_registrys_schemas(rig: Rig, url: str) -> None:
    ids = rig.place(3)
    async with running(rig.taking(url)):
        await until(lambda: rig.hinted() == ids, 60, 0.3)
    assert rig.broker.letters(topics.CHANGES) == []
    subjects = httpx.get(f"{url}/subjects", timeout=30).json()
    assert f"{rig.capture.topic(ORDER)}-value" in subjects


async def test_a_column_added_later_is_another_schema_and_both_are_read(
    rig: Rig, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rig.place(1)
    plain = rig.capture._value_schema

    def wider(table: Any) -> dict[str, Any]:
        schema = copy.deepcopy(plain(table))
        row = schema["fields"][0]["type"][1]
        row["fields"].append({"name": "AddedLater", "type": ["null", "string"], "default": None})
        return schema

    old = dict(rig.capture._ids)
    monkeypatch.setattr(rig.capture, "_value_schema", wider)
    rig.capture._ids.clear()
    after = rig.place(1)
    subject = f"{rig.capture.topic(ORDER)}-value"
    assert rig.capture._ids[subject][0] != old[subject][0]
    async with running(rig.taking(url)):
        await until(lambda: rig.hinted() == before | after, 60, 0.3)
    assert rig.broker.letters(topics.CHANGES) == []


async def test_while_the_registry_is_away_records_wait_and_an_id_that_it_lacks_is_a_letter(rig: Rig, url: str) -> None:
    producer = Producer({**rig.broker.conf, "enable.idempotence": True})
    producer.produce(rig.capture.topic(ORDER), key=b"odd", value=struct.pack(">bI", 0, 987_654) + b"\x00\x00")
    assert producer.flush(20) == 0
    ids = rig.place(2)
    async with running(rig.taking("http://127.0.0.1:9/apis/ccompat/v7")):
        await asyncio.sleep(3)  # long enough for a batch to be tried
        assert rig.hinted() == set()
    assert rig.broker.letters(topics.CHANGES) == []
    async with running(rig.taking(url)):
        await until(lambda: rig.hinted() == ids, 60, 0.3)
        await until(lambda: len(rig.broker.letters(topics.CHANGES)) == 1, 30, 0.3)
    (letter,) = rig.broker.letters(topics.CHANGES)
    assert (letter["key"], letter["x-error-code"]) == ("odd", "unreadable_envelope")
    assert "has no schema 987654" in letter["__connect.errors.exception.message"]
