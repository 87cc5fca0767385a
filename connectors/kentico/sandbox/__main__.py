"""Runs the sandbox shop: `python -m connectors.kentico.sandbox --port 8090`; prints its address as JSON when ready."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from connectors.kentico.sandbox.errors import BadControl, SandboxError
from connectors.kentico.sandbox.server import EXTRA, Sandbox, system_clock
from connectors.kentico.sandbox.shop import Credentials
from connectors.kentico.sandbox.trade import Order

_SECRETS = "K2X_KENTICO_SANDBOX_CREDENTIALS"


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="kentico-sandbox", description="A Kentico 13 shop that trades on its own.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port (default)")
    parser.add_argument("--data", type=Path, default=Path(".k2x/kentico-sandbox"), help="where the shop is kept")
    parser.add_argument("--target", help="the receiver's base address, e.g. http://127.0.0.1:8080")
    parser.add_argument(
        "--with", dest="extra", action="append", default=[], choices=sorted(EXTRA), help="fixture instance"
    )
    parser.add_argument("--orders", type=int, help="start trading this many orders at once (0: without end)")
    parser.add_argument("--rate", type=float, default=0.0, help="orders a second (0: as fast as possible)")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--late", type=float, default=0.0, help="the shop's clock is so many seconds slow")
    parser.add_argument(
        "--no-must-fail", action="store_true", help="place only orders that can be posted or suppressed"
    )
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options))
    except (SandboxError, OSError) as error:
        print(f"kentico-sandbox: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    sandbox = Sandbox(
        options.data, host=options.host, port=options.port, extra_instances=options.extra, target=options.target,
        credentials=_credentials(), clock=lambda: system_clock() - timedelta(seconds=options.late),
    )  # fmt: skip
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    url = await sandbox.start()
    try:
        print(json.dumps({"url": url, "pid": os.getpid(), "instances": list(sandbox.shops)}), flush=True)
        if options.orders is not None:
            wanted = {"orders": options.orders, "rate": options.rate, "seed": options.seed}
            sandbox.trade.begin(Order.read(wanted | {"must_fail": not options.no_must_fail}, sandbox.shops))
        await stopped.wait()
    finally:
        await sandbox.stop()


def _credentials() -> dict[str, Credentials]:
    """`{"emea": {"user", "password", "webhook_secret", "hint_token"}, …}` from the environment; else the defaults."""
    text = os.environ.get(_SECRETS)
    if not text:
        return {}
    try:
        return {name: Credentials(**values) for name, values in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        keys = "user, password, webhook_secret, hint_token"
        raise BadControl(f"{_SECRETS} must be JSON: instance to {keys} ({type(error).__name__})") from error


if __name__ == "__main__":
    sys.exit(main())
