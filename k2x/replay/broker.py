"""Questions to the broker, asked again while it is starting or a partition's leader moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from k2x.errors import K2xError

T = TypeVar("T")

TIMEOUT_S = 20.0
_AGAIN_S = 0.2
PASSING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)


def asked(ask: Callable[[], T]) -> T:
    """The answer. K2xError where there is none within `TIMEOUT_S`, or one that does not pass."""
    ends = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            passing = error.args[0].retriable() or error.args[0].code() in PASSING
            if not passing or time.monotonic() > ends:
                raise K2xError(f"Kafka does not answer: {error.args[0].str()}. Is the broker up?") from error
            time.sleep(_AGAIN_S)
