"""A whole deployment for the tests of replay: real Kafka, both sandboxes, receiver, streams and sink as processes.

The shop's orders go to organisation `uk` first; `moves_to` gives its store to another one, as a person would by editing
k2x.yaml, and starts streams and sink anew.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from click.testing import CliRunner, Result
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.xero.sandbox.chart import demo_client_id, demo_client_secret
from k2x import kafka_topics, wiring
from k2x.audit.books_hash import entries
from k2x.audit.log import read_to_end
from k2x.cli import main
from k2x.config import load
from k2x.demo.deployment import deployment, secrets
from k2x.publish import publish_rules
from k2x.replay.backlog import Backlog
from k2x.replay.chosen import Chosen
from k2x.replay.forecast import day_calls_left
from k2x.replay.journal import Replay
from k2x.replay.ready import complete_organisations
from k2x.replay.run import Report, Runner, Seen
from k2x.replay.source import ranges_of
from k2x.settings import Settings
from schemas import topics
from schemas.codec import Codec
from schemas.delivery import Deliverer, Record
from schemas.ids import CommittedIds
from schemas.letters import ErrorClass, Origin, Reason, letter_headers
from tests.bench.rig import free_port

ORGS = ("uk", "uk-2", "uk-3")
STORE = "emea/GoatUK"
_PAYOUT = """\
settlement_id,currency,paid_at,payout,type,amount,fee
po_1,GBP,2026-11-24T02:00:00Z,116.90,charge,120.00,3.10
"""
PATIENCE = 90.0  # the machine may be busy: no test says how fast anything is


class Replaying(threading.Thread):
    """`k2x replay run` in a thread: `seen` is its last progress, `report` what came of it."""

    def __init__(self, settings: Settings, kafka: dict[str, Any], codec: Codec) -> None:
        super().__init__(daemon=True)
        self.seen: list[Seen] = []
        self.report: Report | None = None
        chosen = Chosen(tuple(settings.organisations))
        ranges = tuple(ranges_of(kafka, chosen.topics, None))
        replay = Replay("beside", chosen, ranges, datetime.now(UTC), "test")
        self._runner = Runner(replay, settings, kafka, codec, wiring.consumer_groups(), self._say)

    def run(self) -> None:
        self.report = self._runner.run(resumed=False)

    def _say(self, seen: list[Seen]) -> None:
        self.seen = seen


class Town:
    """`bootstrap` of a broker of its own, and a directory."""

    def __init__(self, bootstrap: str, home: Path) -> None:
        self.kafka = {"bootstrap.servers": bootstrap}
        self.codec = Codec(CommittedIds())
        self.home = home
        self.config = home / "k2x.yaml"
        self.org = "uk"  # whom the store feeds now
        names = ["xero", "kentico", "receiver", *(f"{n}-metrics" for n in ("receiver", "streams", "sink"))]
        self.ports = {name: free_port() for name in names}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._admin = AdminClient(self.kafka)
        self._deliverer = Deliverer({**self.kafka, "log_level": 0})  # it outlives the broker by a moment
        self._variables = secrets() | {_secret(org): demo_client_secret(org) for org in ORGS}

    # -- processes ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Everything up, the store feeding `uk`."""
        more = self.home / "organisations.json"
        more.write_text(json.dumps([{"slug": org, "name": f"Goat {org}", "template": "uk"} for org in ORGS[1:]]))
        xero = ["--port", str(self.ports["xero"]), "--organisations", str(more), "--minute-limit", "3000"]
        self._start("xero", "-m", "connectors.xero.sandbox", *xero)
        kentico = ["--port", str(self.ports["kentico"]), "--data", str(self.home / "kentico")]
        self._start("kentico", "-m", "connectors.kentico.sandbox", *kentico)
        self.write_config(self.org, self.config)
        kafka_topics.apply(self.kafka, ORGS, 3, 1)
        publish_rules(self.settings, self.kafka, self.codec, by="test")
        for name in ("receiver", "streams", "sink"):
            self.start(name)
        self.until("both sandboxes and the receiver answer", self._answer)
        self.until("uk is read", lambda: "uk" in complete_organisations(self.kafka))

    def close(self) -> None:
        for name in list(self._processes):
            self.stop(name)

    def moves_to(self, org: str) -> None:
        """The store's orders go to `org` from now on."""
        for name in ("streams", "sink"):
            if name in self._processes:
                self.stop(name)
        self.org = org
        self.write_config(self.org, self.config)
        publish_rules(self.settings, self.kafka, self.codec, by="test")
        for name in ("streams", "sink"):
            self.start(name)
        self.until(f"{org} is read", lambda: org in complete_organisations(self.kafka))
        self.until("the sink tells of the day's calls", lambda: day_calls_left(self.settings, org))
        self.consumes()

    def write_config(self, org: str, path: Path) -> Path:
        """A k2x.yaml whose only organisation is `org`, with the demo's British rules."""
        given = deployment(self.kafka["bootstrap.servers"], self.ports | {"reader-metrics": 0}, self.home, speed=1.0)
        rules = Path(given["organisations"]["uk"]["rules"])
        own = self.home / f"{org}.yaml"
        british = re.sub(r"(?m)^organisation: uk$", f"organisation: {org}", rules.read_text("utf-8"))
        own.write_text(british, "utf-8")
        given["organisations"] = {
            org: {"client_id": demo_client_id(org), "client_secret_env": _secret(org), "rules": str(own)}
        }
        given["stores"] = {STORE: {"organisation": org}, "seed2021/SeedUK": {"organisation": org}}
        given["xero"]["budget"] = {"minute": 3000}
        given["xero"]["sink"]["session_timeout_s"] = 45.0  # a frozen sink stays a member
        given["replay"] = {"patience_s": 3.0}
        given["kafka"]["session_timeout_s"] = 4.0  # a dead worker is known to be dead soon
        path.write_text(yaml.safe_dump(given), "utf-8")
        shipped = rules.with_name("default.yaml").read_text("utf-8")
        edited = re.sub(r"on_other_money: hold", "on_other_money: reissue", shipped)
        (self.home / "default.yaml").write_text(edited, "utf-8")
        return path

    def start(self, name: str) -> None:
        self._start(name, "-m", "k2x", "run", name, "--config", str(self.config), "--log-level", "warning")

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self._processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wake(self, name: str) -> None:
        """A frozen process goes on."""
        self._processes[name].send_signal(signal.SIGCONT)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A process that does nothing for a while."""
        self._processes[name].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.wake(name)

    @contextmanager
    def replaying(self, limit: int) -> Iterator[Replaying]:
        """A replay of everything that goes on beside the test, and has ended when the block ends."""
        settings = self.settings
        small = settings.model_copy(update={"replay": settings.replay.model_copy(update={"outstanding": limit})})
        replay = Replaying(small, self.kafka, self.codec)
        replay.start()
        try:
            yield replay
        finally:
            replay.join(PATIENCE)

    def consumes(self) -> None:
        """Until streams and sink hold what the organisation needs."""
        groups = wiring.consumer_groups()
        Backlog(self.kafka, [self.org], topics.REPLAY_OF, groups.streams, groups.sink).await_consumers(PATIENCE)

    def k2x(self, *arguments: str, config: Path | None = None, **variables: str) -> Result:
        """The command line, to its end, in this process: its imports cost more than most commands."""
        command = [*arguments, "--config", str(config or self.config)]
        return CliRunner().invoke(main, command, env={**self._variables, **variables})

    def begin(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """The command line, going on."""
        command = [sys.executable, "-m", "k2x", *arguments, "--config", str(self.config)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._env(variables)
        )

    def json(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """A command's one JSON object; it must have succeeded."""
        done = self.k2x(*arguments, "--json", **variables)
        assert done.exit_code == 0, done.output[-3000:] + repr(done.exception)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    # -- the shop -----------------------------------------------------------------------------------------------

    def trade(self, orders: int, seed: str, **wanted: Any) -> None:
        """Let the Kentico shop place orders, pay and edit them, and tell of all that by signed webhooks."""
        url = f"http://127.0.0.1:{self.ports['kentico']}"
        httpx.post(
            f"{url}/_sandbox/target", json={"url": f"http://127.0.0.1:{self.ports['receiver']}"}
        ).raise_for_status()
        body = {
            "orders": orders, "seed": seed, "sites": {STORE: 1}, "shares": {"webhook": 1}, "pay_after": 0.5,
            "edit_after": 0.5, "master_data": 0.1, **wanted,
        }  # fmt: skip
        httpx.post(f"{url}/_sandbox/trade", json=body).raise_for_status()
        self.until("the shop has told everything", lambda: httpx.get(f"{url}/_sandbox/trade").json()["done"])

    def pays_out(self) -> None:
        """Stripe pays out an order of 120.00, from a file as a person has it."""
        file = self.home / "payouts.csv"
        file.write_text(_PAYOUT, "utf-8")
        arguments = ("--instance", "emea", "--gateway", "stripe", "--site", STORE.partition("/")[2])
        done = self.k2x("settlements", "import", str(file), *arguments)
        assert done.exit_code == 0, done.output[-3000:]

    def deliver(self, *records: Record) -> None:
        """Records as they are."""
        self._deliverer.deliver_now(records)

    def put(self, *orders: dict[str, Any]) -> None:
        """Versions of orders, as the receiver would write them."""
        self.deliver(*(Record(topics.ORDERS, key_of(o).encode(), self.codec.encode("order", o)) for o in orders))

    def letter(self, order: dict[str, Any]) -> str:
        """A dead letter of an order, as streams would have written it; its address."""
        key, topic = key_of(order), topics.dead_letter(topics.ORDERS)
        reason = Reason(ErrorClass.MAPPING, "account_unknown", f"{key}: no account", "Mend it.", self.org, STORE, key)
        headers = letter_headers(Origin(topics.ORDERS, 0, 0, "streams", "Accounts"), reason, datetime.now(UTC))
        self.deliver(Record(topic, key.encode(), self.codec.encode("order", order), headers))
        last = [m for m in self.messages(topic) if m.key() == key.encode()][-1]
        return f"{topic}:{last.partition()}:{last.offset()}"

    def orders(self) -> dict[str, dict[str, Any]]:
        """The latest version of each order on the source topic."""
        found: dict[str, dict[str, Any]] = {}
        for message in read_to_end(self.kafka, [topics.ORDERS]):
            order = self.codec.decode(message.value() or b"")
            found[key_of(order)] = max(order, found.get(key_of(order), order), key=lambda o: o["version"])
        return found

    # -- what came of it ----------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        return load(self.config)

    def settle(self) -> None:
        """Until everything that came in is finished."""
        read = (topics.ORDERS, topics.CUSTOMERS, topics.SETTLEMENTS)
        self.until("streams has read everything", lambda: self.lag("k2x-streams", *read) == 0)
        self.until("the sink has finished everything", lambda: self.lag("k2x-sink", topics.commands(self.org)) == 0)

    def results(self, **wanted: Any) -> list[dict[str, Any]]:
        rows = [self.codec.decode(m.value() or b"") for m in read_to_end(self.kafka, [topics.RESULTS])]
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    def messages(self, topic: str) -> list[Any]:
        return list(read_to_end(self.kafka, [topic]))

    def lag(self, group: str, *names: str) -> int:
        """Records that a group has not confirmed."""
        found = self._admin.list_topics(timeout=20).topics
        places = [TopicPartition(name, p) for name in names for p in found[name].partitions]
        done = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result(20)
        ends = self._admin.list_offsets({place: OffsetSpec.latest() for place in places})
        end = sum(future.result(20).offset for future in ends.values())
        return int(end - sum(max(0, p.offset) for p in done.topic_partitions))

    def edit(self, **wanted: Any) -> None:
        """Something that a person does in Xero."""
        httpx.post(f"{self._xero}/_sandbox/edit", json=wanted, timeout=60).raise_for_status()

    def export(self, org: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self._xero}/_sandbox/books/{org}", timeout=60).json()
        return found

    def books(self, org: str) -> list[str]:
        found = self.export(org)
        return entries(found["invoices"], found["payments"], found["credit_notes"])

    def same_lock(self, org: str) -> None:
        """Close the periods of `org` that are closed in the first organisation, as its accountant would."""
        known = httpx.get(f"{self._xero}/_sandbox/settings", timeout=60).json()["organisations"]["uk"]
        days = {name: known[name] for name in ("period_lock_date", "end_of_year_lock_date")}
        httpx.post(f"{self._xero}/_sandbox/settings", json={"org": org, **days}).raise_for_status()

    def writes(self, org: str, route: str = "") -> int:
        """Requests that would change something, refused ones included; of one resource if it is named."""
        counts = httpx.get(f"{self._xero}/_sandbox/requests?org={org}", timeout=60).json()["counts"]
        return sum(row["calls"] for row in counts if row["method"] != "GET" and route in ("", row["route"]))

    def until(self, what: str, holds: Callable[[], Any]) -> Any:
        ends = time.monotonic() + PATIENCE
        while not (found := holds()):
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended: {self.log(name)}"
            assert time.monotonic() < ends, f"not in time: {what}"
            time.sleep(0.2)
        return found

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text("utf-8", "replace")[-3000:]

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _xero(self) -> str:
        return f"http://127.0.0.1:{self.ports['xero']}"

    def _answer(self) -> bool:
        try:
            return all(
                httpx.get(f"http://127.0.0.1:{self.ports[name]}{path}", timeout=2).status_code < 500
                for name, path in (("xero", "/books"), ("kentico", "/_sandbox/info"), ("receiver", "/healthz"))
            )
        except httpx.HTTPError:
            return False

    def _start(self, name: str, *arguments: str) -> None:
        with (self.home / f"{name}.log").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *arguments], stdout=out, stderr=out, env=self._env({})
            )

    def _env(self, variables: dict[str, str]) -> dict[str, str]:
        return {**os.environ, **self._variables, **variables}


def _secret(org: str) -> str:
    return f"XERO_{org.upper().replace('-', '_')}_SECRET"


def key_of(order: dict[str, Any]) -> str:
    return f"{order['instance']}|{order['order']['OrderID']}"
