"""What `k2x run NAME` runs: one process of k2x, wired from settings, until SIGTERM or Ctrl-C.

Each serves Prometheus metrics on its own port (ports.metrics.<name>). Exit code 0 for a stop that was asked for.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from prometheus_client import REGISTRY, disable_created_metrics, start_http_server

from connectors.xero.metrics import SinkMetrics
from k2x import wiring
from k2x.clients import codec, librdkafka, registry
from k2x.settings import Settings
from k2x.tracing import OtlpRecorder
from k2x.watch.lanes import TellingMetrics
from schemas import spans
from schemas.delivery import Deliverer

log = structlog.get_logger()

NAMES = ("receiver", "reader", "poller", "cdc", "streams", "sink", "writeback", "confirm", "watch")


def wanted(settings: Settings) -> list[str]:
    """The processes that this configuration gives work to: the others would only wait."""
    instances = settings.instances.values()
    idle = {
        "poller": not any(instance.poll for instance in instances),
        "cdc": not any(instance.cdc for instance in instances),
        "confirm": not settings.confirmations,
        "writeback": not any(instance.write_back_columns for instance in instances),
    }
    return [name for name in NAMES if not idle.get(name, False)]


def run(name: str, settings: Settings, bootstrap: str, worker: str) -> None:
    """Run the process called `name` to its end. `worker` names this one among several of the same kind."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and nothing reads them
    if settings.tracing is None:
        _RUNNERS[name](settings, bootstrap, worker)
        return
    # Streams shows a registry of its own: there only the log tells of spans that a collector did not take.
    recorder = OtlpRecorder(settings.tracing.otlp_endpoint, f"k2x-{name}")
    recorder.start()
    spans.use(recorder)
    try:
        _RUNNERS[name](settings, bootstrap, worker)
    finally:
        spans.use(None)
        recorder.stop()


def _receiver(settings: Settings, bootstrap: str, worker: str) -> None:
    from connectors.kentico.receiver import Receiver, run_receiver

    process = wiring.receiver(settings)
    # A sender waits for this answer: 503 after ten seconds is kinder than after thirty.
    deliverer = Deliverer(librdkafka(settings, bootstrap), timeout=10.0)
    receiver = Receiver(process, codec(settings), deliverer, _utc_now)
    _serve_metrics(settings, "receiver")
    _until_stopped(lambda stop: run_receiver(receiver, process, stop))
    deliverer.close()


def _reader(settings: Settings, bootstrap: str, worker: str) -> None:
    from connectors.kentico.reader import run_reader

    process = wiring.reader(settings)
    _serve_metrics(settings, "reader")
    kafka = librdkafka(settings, bootstrap)
    deliverer = Deliverer(kafka)
    _until_stopped(lambda stop: run_reader(process, kafka, codec(settings), deliverer, stop, _utc_now))
    deliverer.close()


def _poller(settings: Settings, bootstrap: str, worker: str) -> None:
    from connectors.kentico.poller import run_poller

    process = wiring.poller(settings)
    _serve_metrics(settings, "poller")
    kafka = librdkafka(settings, bootstrap)
    deliverer = Deliverer(kafka)
    _until_stopped(lambda stop: run_poller(process, kafka, codec(settings), deliverer, stop, _utc_now))
    deliverer.close()


def _cdc(settings: Settings, bootstrap: str, worker: str) -> None:
    from connectors.kentico.cdc import run_cdc

    process, schemas = wiring.cdc(settings), registry(settings)
    _serve_metrics(settings, "cdc")
    kafka = librdkafka(settings, bootstrap)
    deliverer = Deliverer(kafka)
    _until_stopped(lambda stop: run_cdc(process, kafka, codec(settings), deliverer, stop, _utc_now, schemas))
    deliverer.close()


def _streams(settings: Settings, bootstrap: str, worker: str) -> None:
    from streams.worker import run_worker

    run_worker(
        wiring.streams(settings, librdkafka(settings, bootstrap), f"streams-{worker}"), codec(settings), _utc_now
    )


def _sink(settings: Settings, bootstrap: str, worker: str) -> None:
    from connectors.xero.client import XeroClient
    from connectors.xero.sink import Sink
    from k2x.audit.last import LastReconciliation
    from k2x.xero_access import AccessCollector, XeroAccess

    kafka, values = librdkafka(settings, bootstrap), codec(settings)
    access = XeroAccess(settings, kafka, values)
    for org in settings.organisations:
        access.check(org)  # a missing secret is said at the start, not when the first order comes

    def client(org: str) -> XeroClient:
        """KeyError is the sink's word for a command topic that is no business of this configuration's."""
        if org not in settings.organisations:
            raise KeyError(org)
        return access.client(org)

    metrics, stop = _sink_metrics(settings), threading.Event()
    sink = Sink(
        wiring.sink(settings, worker), kafka, values, client, lambda org: wiring.limits(settings, org), metrics=metrics
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _serve_metrics(settings, "sink")
    # Here, because reconcile needs Xero's secrets too and so runs beside a sink, on its data directory.
    REGISTRY.register(LastReconciliation(settings.data_dir))
    REGISTRY.register(AccessCollector(access))
    access.start()
    if isinstance(metrics, TellingMetrics):
        threading.Thread(target=metrics.run, args=(stop,), name="tell", daemon=True).start()
    try:
        sink.run(stop)
    finally:
        access.stop()


def _confirm(settings: Settings, bootstrap: str, worker: str) -> None:
    from connectors.confirm.confirm import run_confirm

    process = wiring.confirm(settings)
    _serve_metrics(settings, "confirm")
    kafka = librdkafka(settings, bootstrap)
    deliverer = Deliverer(kafka)
    _until_stopped(lambda stop: run_confirm(process, kafka, codec(settings), deliverer, stop, _utc_now))
    deliverer.close()


def _sink_metrics(settings: Settings) -> SinkMetrics:
    channels = wiring.channels(settings)
    return TellingMetrics(channels, settings.watch.notify.every_s) if channels else SinkMetrics()


def _writeback(settings: Settings, bootstrap: str, worker: str) -> None:
    from connectors.kentico.writeback import run_writeback

    enabled = any(instance.write_back_columns for instance in settings.instances.values())
    process = wiring.writeback(settings, enabled)
    _serve_metrics(settings, "writeback")
    kafka = librdkafka(settings, bootstrap)
    deliverer = Deliverer(kafka)
    _until_stopped(lambda stop: run_writeback(process, kafka, codec(settings), deliverer, stop, _utc_now))
    deliverer.close()


def _watch(settings: Settings, bootstrap: str, worker: str) -> None:
    from k2x.watch.process import Watcher

    watcher = Watcher(wiring.watch(settings), librdkafka(settings, bootstrap), codec(settings), REGISTRY)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _serve_metrics(settings, "watch")
    watcher.run(stop)


def _serve_metrics(settings: Settings, name: str) -> None:
    port = settings.ports.metrics.get(name, 0)
    server, _ = start_http_server(port, settings.ports.host)
    log.info("metrics_served", host=settings.ports.host, port=server.server_port)


def _until_stopped(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run an asynchronous process until a signal asks it to stop."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await serve(stop)

    asyncio.run(main())


def host_name() -> str:
    """This machine's name: part of a worker's name, so that two machines never claim the same membership."""
    return socket.gethostname()


def _utc_now() -> datetime:
    return datetime.now(UTC)


_RUNNERS: dict[str, Callable[[Settings, str, str], None]] = {
    "receiver": _receiver,
    "reader": _reader,
    "poller": _poller,
    "cdc": _cdc,
    "streams": _streams,
    "sink": _sink,
    "writeback": _writeback,
    "confirm": _confirm,
    "watch": _watch,
}
