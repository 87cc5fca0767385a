"""`python -m connectors.xero.sandbox --port 0 --state DIR`: prints one JSON line with its URL when ready, runs until
SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import structlog

from connectors.xero.sandbox.accounting import Latency
from connectors.xero.sandbox.chart import default_organisations, organisation_from
from connectors.xero.sandbox.errors import SandboxError
from connectors.xero.sandbox.limits import Limits
from connectors.xero.sandbox.server import Sandbox, SandboxSettings, serve


def parse(arguments: list[str] | None = None) -> SandboxSettings:
    """Settings from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m connectors.xero.sandbox", description="A faithful Xero on this machine."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--state", type=Path, help="directory that keeps the books; without it they are forgotten")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast the sandbox's clock runs")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of every call, in sandbox time")
    parser.add_argument("--element-ms", type=float, default=0.0, help="more for each element written")
    parser.add_argument("--minute-limit", type=int, default=60)
    parser.add_argument("--day-limit", type=int, default=5000)
    parser.add_argument("--idempotency-scope", choices=("app", "token"), default="app")
    parser.add_argument(
        "--organisations", type=Path, help="JSON array of more organisations: slug, name, template (uk, au, de), ..."
    )
    given = parser.parse_args(arguments)
    more = json.loads(given.organisations.read_text()) if given.organisations else []
    return SandboxSettings(
        port=given.port,
        state=given.state,
        speed=given.speed,
        latency=Latency(given.latency_ms, given.element_ms),
        limits=Limits(minute=given.minute_limit, day=given.day_limit),
        idempotency_scope=given.idempotency_scope,
        organisations=(*default_organisations(), *map(organisation_from, more)),
    )


def announce(sandbox: Sandbox) -> None:
    """The ready line: {url, api_url, organisations: {slug: {tenant_id, client_id, client_secret}}}."""
    orgs = {
        org.slug: {"tenant_id": org.id, "client_id": org.client_id, "client_secret": org.client_secret}
        for org in sandbox.organisations
    }
    line = {
        "url": sandbox.base_url,
        "api_url": sandbox.api_url,
        "books": f"{sandbox.base_url}/books",
        "organisations": orgs,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _run(settings: SandboxSettings) -> None:
    task = asyncio.ensure_future(serve(settings, ready=announce))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main(arguments: list[str] | None = None) -> int:
    """0 after a signal, 2 for what cannot run."""
    # stdout carries the ready line only
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        asyncio.run(_run(parse(arguments)))
    except (SandboxError, OSError) as problem:
        sys.stderr.write(f"xero sandbox: {problem}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
