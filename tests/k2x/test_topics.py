"""Topics on a real broker: created as they must be, known at once, and what would lose data is named."""

from __future__ import annotations

from datetime import timedelta

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from k2x import kafka_topics
from schemas import topics

pytestmark = pytest.mark.kafka


def test_topics_are_created_once_and_as_they_must_be(kafka: str, topic_prefix: str) -> None:
    conf, org = {"bootstrap.servers": kafka}, topic_prefix
    first = kafka_topics.apply(conf, [org], 3, 1)
    assert not [state for state in first if state.faults]
    again = kafka_topics.apply(conf, [org], 3, 1)
    assert not [state for state in again if state.created]
    sizes = {state.name: state.partitions for state in again}
    assert sizes[topics.commands(org)] == sizes[topics.ledger(org)] == sizes[topics.REFERENCE] == 1
    assert sizes[topics.dead_letter(topics.commands(org))] == 3


def test_a_setting_that_would_lose_unfinished_work_is_named(kafka: str, topic_prefix: str) -> None:
    conf, org = {"bootstrap.servers": kafka}, topic_prefix
    kafka_topics.apply(conf, [org], 1, 1)
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topics.commands(org), incremental_configs=[entry])
    admin = AdminClient(conf)
    (changed,) = admin.incremental_alter_configs([resource]).values()
    changed.result(timeout=20)
    faults = {state.name: state.faults for state in kafka_topics.describe(conf, [org])}
    assert "retention.ms is 1000, must be -1" in faults[topics.commands(org)][0]


def test_nothing_that_is_unfinished_a_source_or_a_letter_ever_expires(kafka: str, topic_prefix: str) -> None:
    """By the broker's own word, for every topic there is."""
    conf, org = {"bootstrap.servers": kafka}, topic_prefix
    kafka_topics.apply(conf, [org], 1, 1)
    admin = AdminClient(conf)
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics.all_topics([org])]
    found = {r.name: future.result(timeout=20) for r, future in admin.describe_configs(resources).items()}
    kept = [{key: config[key].value for key in ("cleanup.policy", "retention.ms")} for config in found.values()]
    forever = {"cleanup.policy": "delete", "retention.ms": "-1"}
    assert all(one == forever or one["cleanup.policy"] == "compact" for one in kept)
    compacted = {name for name, config in found.items() if config["cleanup.policy"].value == "compact"}
    assert compacted == {
        topics.REFERENCE,
        topics.RULES,
        topics.TOKENS,
        topics.REPLAYS,
        topics.CURSORS,
        topics.ledger(org),
    }
    assert {config["retention.bytes"].value for config in found.values()} == {"-1"}


def test_a_setting_that_may_lose_acknowledged_records_is_a_warning(kafka: str, topic_prefix: str) -> None:
    conf, org = {"bootstrap.servers": kafka}, topic_prefix
    kafka_topics.apply(conf, [org], 1, 1)
    entry = ConfigEntry("unclean.leader.election.enable", "true", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topics.ledger(org), incremental_configs=[entry])
    admin = AdminClient(conf)
    admin.incremental_alter_configs([resource])[resource].result(timeout=20)
    states = {state.name: state for state in kafka_topics.describe(conf, [org])}
    assert "may be lost" in states[topics.ledger(org)].warnings[0]
    assert not states[topics.ledger(org)].faults
    assert not states[topics.commands(org)].warnings


def test_a_cluster_that_forgets_offsets_soon_is_a_warning(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = {"bootstrap.servers": kafka}
    monkeypatch.setattr(kafka_topics, "_RESTS", timedelta(days=1000 * 365))
    assert "reads its topics from their beginning" in kafka_topics.cluster_warnings(conf)[0]
    monkeypatch.setattr(kafka_topics, "_RESTS", timedelta(0))
    assert kafka_topics.cluster_warnings(conf) == []


def test_a_command_topic_with_more_partitions_is_a_fault(kafka: str, topic_prefix: str) -> None:
    conf, org = {"bootstrap.servers": kafka}, topic_prefix
    admin = AdminClient(conf)
    (made,) = admin.create_topics([NewTopic(topics.commands(org), 2, 1)]).values()
    made.result(timeout=20)
    states = {state.name: state for state in kafka_topics.apply(conf, [org], 1, 1)}
    assert "must have 1" in states[topics.commands(org)].faults[0]


def test_what_is_missing_is_said_to_be(kafka: str, topic_prefix: str) -> None:
    states = {s.name: s for s in kafka_topics.describe({"bootstrap.servers": kafka}, [topic_prefix])}
    assert "k2x topics apply" in states[topics.commands(topic_prefix)].faults[0]
