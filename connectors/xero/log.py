"""A lane's Kafka: the fence, the ledger read to its end, the committed offset, and transactions of everything at once.

Guarantees: after `fence` no former owner commits anything; a transaction is whole or not at all, and `transact` raises
TransactionAborted only when it is certainly not; whatever is not certain raises LaneLost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from connectors.xero.core import control
from connectors.xero.core.events import Transact
from connectors.xero.crash import crash_point
from connectors.xero.errors import LaneLost, LaneRefused, TransactionAborted
from connectors.xero.ledger import LedgerStore
from connectors.xero.settings import SinkSettings
from schemas import topics, traces
from schemas.codec import Codec
from schemas.types import LedgerEntry

_TIMEOUT = 30.0  # seconds for a broker's answer at the start
_QUIET = 20.0  # seconds without a record before the end of the ledger: the broker is gone
_READ = 2000  # records a poll while the ledger is read
_BATCH = 500  # records a poll otherwise: what one transaction may hold the outcome of
_WAIT = 0.1  # seconds: consume() waits them out unless it gets all it asked for, so the end of the topic costs them
# The last: the broker has forgotten a transactional id that rested too long. librdkafka would open it anew by itself
# (seen), and then nobody knows who wrote in between: the ledger is read again.
_GONE = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)


class LaneLog:
    """One lane's life on the broker. `kafka`: librdkafka's bootstrap and security."""

    def __init__(
        self,
        org: str,
        kafka: Mapping[str, Any],
        settings: SinkSettings,
        codec: Codec,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.org = org
        self._utc = utc
        self._kafka = dict(kafka)
        self._settings = settings
        self._codec = codec
        self._producer: Producer | None = None
        self._last_offset: int | None = None
        self._end = 0  # of the ledger, after our last transaction
        self._commands = ""  # the command topic's id

    # -- take-over ----------------------------------------------------------------------------------------------

    def fence(self) -> None:
        """From here on no former owner of the organisation can commit."""
        timeout = int(self._settings.transaction_timeout * 1000)
        conf = {
            "transactional.id": f"k2x-sink-{self.org}",
            "transaction.timeout.ms": timeout,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": 32768,
        }
        self._producer = Producer({**conf, **self._kafka})
        try:
            self._producer.init_transactions(_TIMEOUT)
        except KafkaException as error:
            raise LaneLost(f"{self.org}: the broker did not open our transactions: {error}. Tried again.") from error

    def restore(self, store: LedgerStore, stopped: Callable[[], bool]) -> int:
        """Read the ledger topic to its end into `store`; how many records that were."""
        topic = topics.ledger(self.org)
        consumer = self._consumer()
        try:
            identity = self._identity(topic)
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=_TIMEOUT)
            start = store.resume_from(identity, low, high)
            consumer.assign([TopicPartition(topic, 0, start)])
            count = _read_to_end(consumer, store, topic, stopped)
            store.loaded()
            return count
        except KafkaException as error:
            raise LaneLost(f"{self.org}: {topic} cannot be read: {error}. Tried again.") from error
        finally:
            consumer.close()

    def standing(self, store: LedgerStore) -> control.Standing:
        """Where the lane stands, by the restored ledger and the group's offset; both read after the fence."""
        certificate, kept = store.get(control.CERTIFICATE), store.get(control.OFFSET)
        partition = TopicPartition(topics.commands(self.org), 0)
        consumer = self._consumer(self._settings.group_id)
        try:
            found = consumer.committed([partition], timeout=_TIMEOUT)[0].offset
            low, high = consumer.get_watermark_offsets(partition, timeout=_TIMEOUT)
        except KafkaException as error:
            raise LaneLost(f"{self.org}: no committed offset: {error}. Tried again.") from error
        finally:
            consumer.close()
        return control.standing(
            control.Facts(
                empty=store.empty,
                certified=certificate["extra"]["commands"] if certificate else None,
                kept=kept["command_offset"] if kept else None,
                group=None if found == OFFSET_INVALID else found,
                commands=self._commands,
                low=low,
                high=high,
            )
        )

    def certificate(self) -> LedgerEntry:
        """The ledger's birth certificate: once written, the ledger is whole, or known not to be."""
        return control.certificate(self.org, self._commands, self._utc())

    # -- reading, for a rebuild ---------------------------------------------------------------------------------

    def ends(self) -> tuple[int, int]:
        """The command topic's first offset, and the one after its last."""
        consumer = self._consumer()
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topics.commands(self.org), 0), timeout=_TIMEOUT)
        except KafkaException as error:
            raise LaneLost(f"{self.org}: the command topic cannot be read: {error}. Tried again.") from error
        finally:
            consumer.close()
        return int(low), int(high)

    def commands(self, first: int, stopped: Callable[[], bool], *, follow: bool = False) -> Iterator[list[Message]]:
        """The command topic's records from `first` to its end, in batches; `follow`: for ever, with empty batches
        between, so that whoever reads may look up. LaneLost when `stopped`."""
        yield from self._read([TopicPartition(topics.commands(self.org), 0, first)], stopped, follow=follow)

    def results(self, stopped: Callable[[], bool]) -> Iterator[list[Message]]:
        """Everything on the result topic, every organisation's, in batches."""
        admin = AdminClient(self._kafka)
        count = len(admin.list_topics(topics.RESULTS, timeout=_TIMEOUT).topics[topics.RESULTS].partitions)
        yield from self._read([TopicPartition(topics.RESULTS, n, OFFSET_BEGINNING) for n in range(count)], stopped)

    def _read(
        self, partitions: list[TopicPartition], stopped: Callable[[], bool], *, follow: bool = False
    ) -> Iterator[list[Message]]:
        consumer, heard, open_ = self._consumer(), time.monotonic(), {p.partition for p in partitions}
        try:
            consumer.assign(partitions)
            while open_ or follow:
                if stopped():
                    raise LaneLost(f"{self.org}: stopped while {partitions[0].topic} was read.")
                messages = consumer.consume(_BATCH, _WAIT)
                if messages or follow:
                    heard = time.monotonic()
                elif time.monotonic() - heard > _QUIET:
                    raise LaneLost(f"no end of {partitions[0].topic} within {_QUIET:.0f} s. Is Kafka up?")
                good, ended = _sorted(messages)
                open_ -= ended
                if good or follow:
                    yield good
        except KafkaException as error:
            raise LaneLost(f"{self.org}: {partitions[0].topic} cannot be read: {error}. Tried again.") from error
        finally:
            consumer.close()

    def _consumer(self, group: str | None = None) -> Consumer:
        conf = {
            "group.id": group or f"k2x-ledger-{self.org}",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 16384,
        }
        return Consumer({**conf, **self._kafka})

    def _identity(self, topic: str) -> str:
        admin = AdminClient(self._kafka)
        cluster = admin.list_topics(timeout=_TIMEOUT).cluster_id
        names = [topic, topics.commands(self.org)]
        answers = admin.describe_topics(TopicCollection(names), request_timeout=_TIMEOUT)
        for name in names:
            count = len(answers[name].result(_TIMEOUT).partitions)
            if count != 1:
                raise LaneRefused(f"{name} has {count} partitions and must have 1 (DESIGN §2): `k2x topics describe`.")
        self._commands = str(answers[topics.commands(self.org)].result(_TIMEOUT).topic_id)
        return f"{cluster} {answers[topic].result(_TIMEOUT).topic_id}"

    # -- transactions -------------------------------------------------------------------------------------------

    def transact(self, work: Transact, group: Any) -> tuple[dict[str, bytes | None], int | None]:
        """Commit it. The entries' bytes, and the ledger's offset after them (None if it has none of them).

        The command offset goes into the ledger too: a group's offset may expire, what is finished may not.
        """
        producer = self._producer
        if producer is None:
            raise LaneLost(f"{self.org}: the lane has no producer.")
        values: dict[str, bytes | None] = {
            key: None if entry is None else self._codec.encode("ledger", entry) for key, entry in work.entries.items()
        }
        if work.offset is not None:  # moved or not: whatever a lane at work writes shows that it was at work
            kept = control.offset(self.org, work.offset, self._utc())
            values[control.OFFSET] = self._codec.encode("ledger", kept)
        self._last_offset = None
        try:
            producer.begin_transaction()
            self._produce(producer, work, values)
            if work.offset is not None:
                position = TopicPartition(topics.commands(self.org), 0, work.offset)
                self._retrying(lambda: producer.send_offsets_to_transaction([position], group, _TIMEOUT))
            producer.flush(_TIMEOUT)  # delivery reports are served here, not by the commit
            crash_point("before_commit")
            self._retrying(lambda: producer.commit_transaction(_TIMEOUT))
        except KafkaException as error:
            self._failed(producer, error)
        return values, self._grown()

    def _grown(self) -> int | None:
        """The ledger's offset after our entries. A topic that has become shorter was deleted and made anew beneath us,
        which the producer does not notice (seen): the next take-over finds the ledger lost, so let it come now."""
        if self._last_offset is None:
            return None
        if self._last_offset < self._end:
            raise LaneLost(f"{self.org}: {topics.ledger(self.org)} was made anew while we wrote. Take over anew.")
        self._end = self._last_offset + 1
        return self._end

    def _produce(self, producer: Producer, work: Transact, values: Mapping[str, bytes | None]) -> None:
        ledger, dead = topics.ledger(self.org), topics.dead_letter(topics.commands(self.org))
        for key, value in values.items():
            self._send(producer, ledger, key.encode(), value, self._delivered)
        for result in work.results:
            trace = result["traceparent"]
            headers = [(traces.HEADER, trace.encode())] if trace else None
            value = self._codec.encode("result", result)
            self._send(producer, topics.RESULTS, result["key"].encode(), value, headers=headers)
        for letter in work.letters:
            self._send(producer, dead, letter.key, letter.value, headers=letter.headers)
        for row in work.reference:
            value = None
            if row.document is not None:
                fields = {"kind": row.kind, "code": row.code, "document": row.document, "snapshot": row.snapshot}
                value = self._codec.encode("reference", {"org": self.org, **fields, "updated_at": row.at})
            self._send(producer, topics.REFERENCE, f"{self.org}|{row.kind}|{row.code}".encode(), value)

    def _send(
        self,
        producer: Producer,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        report: Any = None,
        headers: Any = None,
    ) -> None:
        for _ in range(2):
            try:
                producer.produce(topic, value=value, key=key, headers=headers or [], on_delivery=report)
                return
            except BufferError:  # a large reference snapshot: let it drain
                producer.flush(_TIMEOUT)
        raise LaneLost(f"{self.org}: the producer's queue stayed full for {_TIMEOUT:.0f} s. Is Kafka up?")

    def _delivered(self, error: Any, message: Message) -> None:
        if error is None:
            self._last_offset = max(self._last_offset or 0, message.offset() or 0)

    def _retrying(self, call: Callable[[], Any]) -> None:
        """Calls of a transaction may be repeated while librdkafka says so."""
        end = time.monotonic() + self._settings.transaction_timeout
        while True:
            try:
                call()
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > end:
                    raise

    def _failed(self, producer: Producer, error: KafkaException) -> None:
        problem = error.args[0]
        if not problem.fatal() and problem.txn_requires_abort() and problem.code() not in _GONE:
            try:
                self._retrying(lambda: producer.abort_transaction(_TIMEOUT))
            except KafkaException as worse:
                raise LaneLost(f"{self.org}: a transaction cannot be ended: {worse}. Take over anew.") from worse
            raise TransactionAborted(f"{self.org}: {problem.name()}: {problem.str()}. Written again.") from error
        raise LaneLost(f"{self.org}: {problem.name()}: {problem.str()}. Take over anew.") from error

    def close(self) -> None:
        """Nothing of ours is sent any more."""
        self._producer = None


def _read_to_end(consumer: Consumer, store: LedgerStore, topic: str, stopped: Callable[[], bool]) -> int:
    count, heard = 0, time.monotonic()
    while not stopped():
        messages = consumer.consume(_READ, _WAIT)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > _QUIET:
            raise LaneLost(f"no end of {topic} within {_QUIET:.0f} s. Is Kafka up?")
        found, ended = _sorted(messages)
        good = [((message.key() or b"").decode(), message.value()) for message in found]
        if good:
            count += len(good)
            position = consumer.position([TopicPartition(topic, 0)])[0].offset
            store.load(good, position)
        if ended:
            return count
    raise LaneLost(f"{topic}: stopped while it was read.")


def _sorted(messages: list[Message]) -> tuple[list[Message], set[int]]:
    """The records among them, and the partitions that have come to their end."""
    good, ended = [], set()
    for message in messages:
        error = message.error()
        if error is None:
            good.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition() or 0)
        else:
            raise KafkaException(error)
    return good, ended
