"""Kills, stops and failing deliveries of whole worker processes: no order is lost."""

from __future__ import annotations

import signal
import time

import pytest

from schemas import topics
from tests.streams import samples
from tests.streams.desk import Desk

pytestmark = pytest.mark.kafka

UK = topics.commands("uk")


def test_kill_in_mid_flow_loses_nothing(desk: Desk) -> None:
    desk.create_topics()
    desk.make_ready("uk")
    desk.orders([samples.order(n) for n in range(4000)])
    for _ in range(2):
        with desk.worker(batch=50) as worker:
            before = desk.end(UK)
            while desk.end(UK) == before:
                assert worker.poll() is None, desk.log()
            worker.kill()
            assert worker.wait() == -signal.SIGKILL
        assert before < desk.end(UK) < 4000  # the kill came in mid-flow, else this proves nothing
    with desk.worker() as worker:
        desk.until(UK, lambda found: len({c["order_id"] for c in found}) == 4000)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert desk.committed(topics.ORDERS) == 4000


def test_two_workers_share_the_partitions(desk: Desk) -> None:
    desk.create_topics()
    desk.make_ready("uk")
    with desk.worker(worker="streams-1"), desk.worker(worker="streams-2", stores={"emea/GoatUK": "uk"}):
        deadline = time.monotonic() + 60
        number = 0
        shared: set[str] = set()
        while len(shared) < 2:
            assert time.monotonic() < deadline, desk.log("streams-1") + desk.log("streams-2")
            desk.orders([samples.order(n) for n in range(number, number + 60)])
            number += 60
            shared = desk.members_at_work()
            time.sleep(0.5)
        desk.until(UK, lambda found: len({c["order_id"] for c in found}) == number)


def test_undelivered_outputs_stop_the_worker_and_confirm_nothing(desk: Desk) -> None:
    desk.create_topics(without=(UK,))
    desk.make_ready("uk")
    with desk.worker(delivery_timeout_s=3) as worker:
        desk.orders([samples.order(n) for n in range(20)])
        assert worker.wait(60) == 1
        assert "worker_stops" in desk.log()
        assert "NotDelivered" in desk.log()
    assert desk.committed(topics.ORDERS) == 0
    desk.create_topic(UK)
    with desk.worker():
        found = desk.until(UK, lambda found: len(found) >= 20)
    assert {c["order_id"] for c in found} == {str(n) for n in range(20)}


def test_a_feed_that_is_not_delivered_stops_the_worker_too(desk: Desk) -> None:
    desk.create_topics(without=(topics.commands("de"),))
    with desk.worker(delivery_timeout_s=3) as worker:
        desk.orders([samples.order(n, site="GoatDE") for n in range(20)])
        desk.until(topics.PARKED, lambda found: len(found) == 20)
        desk.make_ready("de")
        assert worker.wait(60) == 1
        assert "NotDelivered" in desk.log()
    desk.create_topic(topics.commands("de"))
    with desk.worker():
        found = desk.until(topics.commands("de"), lambda found: len(found) >= 20)
    assert {c["order_id"] for c in found} == {str(n) for n in range(20)}


def test_missing_topics_and_unequal_partitions_are_told(desk: Desk) -> None:
    desk.create_topics(without=(topics.PARKED,))
    with desk.worker() as worker:
        assert worker.wait(60) == 1
    assert f"{desk.prefix}{topics.PARKED} does not exist" in desk.log()
    desk.create_topic(topics.PARKED)  # one partition, the orders have three
    with desk.worker() as worker:
        assert worker.wait(60) == 1
    assert "give both the larger number" in desk.log()
