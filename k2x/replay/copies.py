"""A source record's copy: key and value bytes unchanged, headers that say whose copy it is and of what. Pure."""

from __future__ import annotations

from confluent_kafka import Message

from schemas.delivery import Record
from schemas.letters import without_bookkeeping
from schemas.topics import REPLAY_OF
from streams.outputs import REPLAY_ID, REPLAY_ORG, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC

_OURS = frozenset({REPLAY_ID, REPLAY_ORG, SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET})


def copy_of(message: Message, replay_id: str, org: str, partition: int) -> Record:
    """For the replay topic of the record's own. What it carries from having been a dead letter is left out: a replay is
    a new beginning, and must not meet the quarantine of an older failure."""
    topic = message.topic() or ""
    said = {
        REPLAY_ID: replay_id,
        REPLAY_ORG: org,
        SOURCE_TOPIC: topic,
        SOURCE_PARTITION: str(message.partition()),
        SOURCE_OFFSET: str(message.offset()),
    }
    headers = [pair for pair in without_bookkeeping(message.headers() or []) if pair[0] not in _OURS]
    headers += [(name, value.encode()) for name, value in said.items()]
    return Record(REPLAY_OF[topic], message.key(), message.value(), headers, partition)
