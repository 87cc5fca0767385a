"""What `check --live` says of Debezium's topics, on a real broker: missing, misnamed, empty, expired, well."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kentico.cdc import tables_of
from connectors.kentico.settings import CdcSettings, InstanceSettings
from k2x.captured_topics import captured

pytestmark = pytest.mark.kafka


class Connector:
    """Topics as a connector of this test's prefix makes them."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.conf = {"bootstrap.servers": bootstrap}
        self.group = f"{prefix}-cdc"
        self.cdc = CdcSettings(topic_prefix=prefix, database="Shop", outbox_topics=(f"{prefix}.outbox",))
        self.admin = AdminClient(self.conf)
        self.topics = list(tables_of(self.cdc, "K13"))

    def make(self, *names: str, records: int = 3) -> None:
        made = self.admin.create_topics([NewTopic(name, 1, 1, config={"retention.ms": "-1"}) for name in names])
        for future in made.values():
            future.result(20)
        producer = Producer({**self.conf, "enable.idempotence": True})
        for name in names:
            for number in range(records):
                producer.produce(name, key=str(number).encode(), value=b"{}")
        assert producer.flush(20) == 0

    def read(self, topic: str, offset: int) -> None:
        consumer = Consumer({**self.conf, "group.id": self.group})
        consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
        consumer.close()

    def expire(self, topic: str, before: int) -> None:
        self.admin.delete_records([TopicPartition(topic, 0, before)])[TopicPartition(topic, 0)].result(20)

    def said(self, **changed: str) -> list[tuple[str, str]]:
        cdc = self.cdc.model_copy(update=changed)
        instance = InstanceSettings(name="main", time_zone="Europe/London", cdc=cdc)
        return [
            (f.level, f.text) for f in captured(self.conf, [instance], self.group) if f.where == "instances.main.cdc"
        ]


@pytest.fixture
def connector(kafka: str, topic_prefix: str) -> Connector:
    return Connector(kafka, topic_prefix)


def test_each_topic_that_is_missing_or_empty_is_named_and_the_others_are_not(connector: Connector) -> None:
    missing, empty, *full = connector.topics
    connector.make(empty, records=0)
    connector.make(*full)
    said = connector.said()
    assert [level for level, _ in said] == ["warning", "warning"]
    (absent,), (void,) = ([text for _, text in said if f"topic {name} " in text] for name in (missing, empty))
    assert "does not exist" in absent
    assert "is empty" in void
    connector.make(missing)
    connector.make(f"{missing}.other")
    connector.expire(full[0], 3)  # read by nobody's fault: the group has not begun
    assert [level for level, _ in connector.said()] == ["warning"], "only the empty one is left"


def test_all_topics_with_records_are_well(connector: Connector) -> None:
    connector.make(*connector.topics)
    ((level, text),) = connector.said()
    assert level == "ok"
    assert text == f"{len(connector.topics)} topics of Debezium's, all with records"


def test_another_databases_topics_tell_a_wrong_name_from_a_quiet_shop(connector: Connector) -> None:
    connector.make(*connector.topics)
    ((level, text),) = [one for one in connector.said(database="shop") if one[0] != "ok"]
    assert level == "error"
    assert ".dbo.COM_" in text
    assert "mend topic_prefix, database or schema_name" in text


def test_what_expired_before_it_was_read_is_an_error_with_the_remedy(connector: Connector) -> None:
    connector.make(*connector.topics, records=5)
    lost, read, *_ = connector.topics
    connector.read(lost, 1)
    connector.expire(lost, 4)
    connector.read(read, 4)
    connector.expire(read, 4)
    ((level, text),) = connector.said()
    assert level == "error"
    assert f"topic {lost}: 3 records expired before k2x read them" in text
    assert "k2x backfill run --instance main --since" in text


def test_an_instance_without_cdc_is_not_spoken_of(connector: Connector) -> None:
    instance = InstanceSettings(name="main", time_zone="Europe/London")
    assert list(captured(connector.conf, [instance], connector.group)) == []
