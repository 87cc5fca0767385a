"""One organisation's way through a replay: never more than there is room for, one topic after the other, none in
another's way. Sources and copies on a real Kafka; where streams and sink stand is said by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from k2x import kafka_topics
from k2x.replay.backlog import Standing, lane_of
from k2x.replay.chosen import Chosen, Sieve
from k2x.replay.course import Course, Stage, Surroundings
from k2x.replay.journal import Replay
from k2x.replay.source import Range, ranges_of
from k2x.replay.tally import Tally
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.ids import CommittedIds
from tests.streams import samples

pytestmark = pytest.mark.kafka
CODEC = Codec(CommittedIds())
IDLE = Standing(copies=0, commands=0, command_end=100, command_done=100)


@dataclass
class Shop:
    """An instance of its own with two stores, each of an organisation of its own, on the shared broker."""

    kafka: dict[str, Any]
    name: str
    ranges: list[Range] = field(default_factory=list)
    sent: list[Record] = field(default_factory=list)
    known: bool = False

    @property
    def orgs(self) -> tuple[str, str]:
        return f"{self.name}-a", f"{self.name}-b"

    def fill(self, orders: int, customers: int = 0, products: int = 0) -> None:
        """Records of both stores by turns; only they are in the ranges."""
        before = {(r.topic, r.partition): r.end for r in ranges_of(self.kafka, topics.REPLAY_OF, None)}
        records = []
        for n in range(orders):
            order = samples.order(n, instance=self.name, site="AB"[n % 2])
            records.append(Record(topics.ORDERS, f"{self.name}|{n}".encode(), CODEC.encode("order", order)))
        for topic, count in ((topics.CUSTOMERS, customers), (topics.PRODUCTS, products)):
            records += [Record(topic, f"{self.name}|{n}".encode(), b"") for n in range(count)]
        deliverer = Deliverer(self.kafka)
        deliverer.deliver_now(records)
        deliverer.close()
        after = ranges_of(self.kafka, topics.REPLAY_OF, None)
        self.ranges = [Range(r.topic, r.partition, before[r.topic, r.partition], r.end) for r in after]

    def deliver_now(self, records: list[Record]) -> None:
        self.sent += records

    def course(self, org: str, *, limit: int = 10, several: bool = False, **chosen: Any) -> Course:
        wanted = Chosen((org,), **chosen)
        replay = Replay(f"r-{org}", wanted, tuple(self.ranges), datetime.now(UTC), "test")
        stores = {f"{self.name}/A": self.orgs[0], f"{self.name}/B": self.orgs[1]}
        lanes = {one: {copy: lane_of(one, 3) for copy in topics.REPLAY_OF.values()} for one in self.orgs}
        around = Surroundings(
            kafka=self.kafka,
            codec=CODEC,
            delivery=self,
            lanes=lanes,
            limit=limit,
            several=frozenset({org} if several else ()),
            items_known=lambda _: self.known,
        )
        return Course(org, replay, Sieve(org, wanted, {self.name: stores}), Tally(), around, wait=True)

    def keys(self, org: str) -> list[str]:
        """Of the copies that were sent for an organisation."""
        mine = [record for record in self.sent if dict(record.headers)["x-replay-org"] == org.encode()]
        return [(record.key or b"").decode().partition("|")[2] for record in mine]


@pytest.fixture
def shop(kafka: str, topic_prefix: str) -> Shop:
    made = Shop({"bootstrap.servers": kafka}, topic_prefix[:20].strip("-") + topic_prefix[-8:])
    kafka_topics.apply(made.kafka, made.orgs, 3, 1)
    return made


def busy(commands: int, copies: int = 0) -> Standing:
    return Standing(copies, commands, 100 + commands, 100)


def drive(course: Course, standing: Standing, until: Callable[[], bool]) -> None:
    """Step after step, streams and sink standing where they stand, until something holds."""
    for _ in range(300):
        if until():
            return
        course.step(standing, 1000)
    raise AssertionError(f"it stays {course.stage}, {course.sent} sent, {course.left} left")


def stays(course: Course, standing: Standing) -> bool:
    """Whether nothing can be done where things stand so."""
    before = (course.stage, course.sent, course.left)
    return not any(course.step(standing, 1000) for _ in range(3)) and before == (
        course.stage,
        course.sent,
        course.left,
    )


def test_it_sends_what_there_is_room_for_and_no_more(shop: Shop) -> None:
    shop.fill(60)
    org = shop.orgs[0]
    course = shop.course(org, limit=10)
    drive(course, busy(4), lambda: bool(shop.sent))
    assert len(shop.sent) == 6, "room for six"
    for full in (busy(10), busy(4, copies=6), busy(0, copies=12)):
        assert stays(course, full)
    assert not course.step(busy(4), 0), "--rate allows none now"
    course.step(busy(9), 1000)
    assert len(shop.sent) == 7
    drive(course, busy(0, copies=1), lambda: course.stage is not Stage.SENDING)
    assert sorted(map(int, shop.keys(org))) == list(range(0, 60, 2))
    course.close()


def test_an_organisation_that_waits_holds_up_no_other(shop: Shop) -> None:
    shop.fill(60)
    waiting, moving = (shop.course(org) for org in shop.orgs)
    while not moving.over:
        assert not waiting.step(busy(10), 1000)
        moving.step(IDLE, 1000)
    assert shop.keys(shop.orgs[0]) == []
    assert sorted(map(int, shop.keys(shop.orgs[1]))) == list(range(1, 60, 2))
    waiting.close()
    moving.close()


def test_orders_that_may_make_items_count_for_all_their_commands(shop: Shop) -> None:
    """Three lines: up to four commands. Until they are made, nobody knows how many: nothing more is sent meanwhile."""
    shop.fill(60)
    course = shop.course(shop.orgs[0], limit=10, several=True)
    drive(course, IDLE, lambda: bool(shop.sent))
    assert len(shop.sent) == 2
    assert stays(course, busy(0, copies=1))
    course.step(busy(2), 1000)
    assert len(shop.sent) == 4
    course.step(busy(7), 1000)
    assert len(shop.sent) == 5, "one order always goes where there is room at all"
    course.close()


def test_items_go_first_then_orders_then_customers_each_finished_before_the_next(shop: Shop) -> None:
    shop.fill(4, customers=2, products=3)
    org = shop.orgs[0]
    course = shop.course(org, everything=True)
    untransformed = busy(0, copies=1)
    drive(course, untransformed, lambda: course.stage is Stage.TRANSFORMING)
    assert sorted(shop.keys(org)) == ["0", "1", "2"]
    assert {record.topic for record in shop.sent} == {topics.REPLAY_OF[topics.PRODUCTS]}
    assert stays(course, untransformed)
    drive(course, Standing(0, 3, command_end=103, command_done=100), lambda: course.stage is Stage.FINISHING)
    assert stays(course, Standing(0, 5, command_end=107, command_done=102)), "a command of the replay is under way"
    drive(course, Standing(0, 4, command_end=107, command_done=103), lambda: course.stage is Stage.ITEMS)
    assert stays(course, IDLE), "streams must know the items first; what came in later was not waited for"
    shop.known = True
    drive(course, untransformed, lambda: course.stage is Stage.TRANSFORMING)
    assert {record.topic for record in shop.sent[3:]} == {topics.REPLAY_OF[topics.ORDERS]}
    assert sorted(shop.keys(org)[3:]) == ["0", "2"]
    drive(course, IDLE, lambda: course.over)
    assert [record.topic for record in shop.sent[5:]] == [topics.REPLAY_OF[topics.CUSTOMERS]] * 2
    assert {record.partition for record in shop.sent} == {lane_of(org, 3)}
    course.close()


def test_what_is_parked_after_all_is_waited_for(shop: Shop) -> None:
    shop.fill(2)
    course = shop.course(shop.orgs[0])
    parked = {
        "kind": "order", "outcome": "PARKED", "key": "k", "order_id": "0", "version": samples.START, "message": "",
        "error_class": None, "error_code": None, "number": None,
    }  # fmt: skip
    drive(course, IDLE, lambda: course.over)
    course._tally.take(parked)
    assert course.parked()
    assert stays(course, IDLE)
    course._tally.take({**parked, "outcome": "POSTED"})
    drive(course, IDLE, lambda: course.over)
    assert not course.parked()
    course.close()


def test_records_that_cannot_be_read_are_counted_and_not_sent(shop: Shop) -> None:
    shop.fill(2)
    deliverer = Deliverer(shop.kafka)
    deliverer.deliver_now([Record(topics.ORDERS, f"{shop.name}|9".encode(), b"no avro")])
    deliverer.close()
    ends = {r.partition: r.end for r in ranges_of(shop.kafka, [topics.ORDERS], None)}
    shop.ranges = [
        Range(r.topic, r.partition, r.first, ends[r.partition]) if r.topic == topics.ORDERS else r for r in shop.ranges
    ]
    course = shop.course(shop.orgs[0])
    drive(course, IDLE, lambda: course.over)
    assert (shop.keys(shop.orgs[0]), course._tally.unreadable) == (["0"], 1)
    course.close()
