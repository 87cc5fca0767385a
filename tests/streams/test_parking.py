"""Orders of an organisation that is not ready wait, without delaying others, and go on in their order."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import timedelta

import pytest

from schemas import topics
from tests.streams import samples
from tests.streams.desk import Desk, headers

pytestmark = pytest.mark.kafka

DE, UK = topics.commands("de"), topics.commands("uk")


def test_parked_orders_go_on_when_reference_arrives(desk: Desk) -> None:
    desk.create_topics()
    desk.make_ready("uk")
    desk.make_ready("de", complete=False)
    with desk.worker():
        first = [samples.order(n, site="GoatDE" if n % 2 else "GoatUK") for n in range(200)]
        desk.orders(first)
        desk.until(UK, lambda found: len(found) == 100)
        parked = desk.until(topics.RESULTS, lambda found: len(found) == 100)
        assert {r["outcome"] for r in parked} == {"PARKED"}
        assert {r["message"] for r in parked} == {"de has no complete snapshot of Xero's reference data yet"}
        said = headers(desk.read(topics.PARKED)[0])
        assert (said["x-org"], said["x-store"]) == ("de", "emea/GoatDE")
        assert desk.values(DE) == []

        # newer versions of the same orders come while the older ones are being fed: never may one overtake
        desk.send(topics.REFERENCE, "reference", [("de|COMPLETE|", samples.reference("de", "COMPLETE", ""))])
        newer = [samples.order(n, site="GoatDE") for n in range(1, 200, 2)]
        for order in newer:
            order["version"] += timedelta(days=1)
        desk.orders(newer)
        commands = desk.until(DE, lambda found: len(found) >= 200)
    assert len(commands) == 200
    versions = defaultdict(list)
    for command in commands:
        versions[command["order_id"]].append(command["version"])
    assert all(len(seen) == 2 and seen == sorted(seen) for seen in versions.values())
    assert {c["source_topic"] for c in commands} == {desk.prefix + topics.ORDERS}
    assert commands[0]["findings"] == ["accounts 200"]


def test_kill_while_parked_loses_and_repeats_nothing(desk: Desk) -> None:
    desk.create_topics()
    desk.make_ready("uk")
    with desk.worker() as worker:
        desk.orders([samples.order(n, site="GoatDE") for n in range(50)])
        desk.until(topics.PARKED, lambda found: len(found) == 50)
        _until_committed(desk, 50)
        worker.kill()
        worker.wait()
    desk.make_ready("de")
    with desk.worker():
        desk.until(DE, lambda found: len(found) == 50)
        desk.orders([samples.order(n, site="GoatDE") for n in range(50, 60)])
        desk.until(DE, lambda found: len(found) == 60)
    with desk.worker():  # started once more: what was fed stays fed
        desk.orders([samples.order(60, site="GoatDE")])
        commands = desk.until(DE, lambda found: any(c["order_id"] == "60" for c in found))
    assert len(commands) == 61


def test_rules_that_cannot_be_used_park_until_better_ones_come(desk: Desk) -> None:
    desk.create_topics()
    desk.make_ready("uk", rules="bad")
    with desk.worker():
        desk.orders([samples.order(1)])
        parked = desk.until(topics.RESULTS, lambda found: len(found) == 1)
        assert parked[0]["outcome"] == "PARKED"
        assert "rules version 1 cannot be used: the document is bad" in parked[0]["message"]
        desk.make_ready("uk", version=2)
        assert desk.until(UK, lambda found: len(found) == 1)[0]["rules_version"] == 2
        desk.make_ready("uk", rules="bad", version=3)  # from then on the version before stays in use
        desk.orders([samples.order(2)])
        found = desk.until(UK, lambda found: len(found) == 2)
    assert {c["rules_version"] for c in found} == {2}


def _until_committed(desk: Desk, number: int) -> None:
    deadline = time.monotonic() + 20
    while desk.committed(topics.ORDERS) < number:
        assert time.monotonic() < deadline, desk.log()
        time.sleep(0.2)
