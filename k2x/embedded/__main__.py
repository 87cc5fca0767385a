"""Runs the embedded Kafka alone until Ctrl-C or SIGTERM: `python -m k2x.embedded --data-dir .k2x/kafka`."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import click

from k2x.embedded.broker import DEFAULT_HEAP, EmbeddedKafka
from k2x.embedded.errors import EmbeddedKafkaError


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path(".k2x/kafka"), show_default=True)
@click.option("--port", type=int, help="Port on 127.0.0.1; by default a free one, which is remembered.")
@click.option("--heap", default=DEFAULT_HEAP, show_default=True, help="Most Java heap, as Java writes it.")
def main(data_dir: Path, port: int | None, heap: str) -> None:
    """Start Kafka, print its address, and run until told to stop."""
    asked = threading.Event()

    def ask(_number: int, _frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    broker = EmbeddedKafka(data_dir, port, lambda text: click.echo(text, err=True), heap=heap)
    try:
        broker.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask)
        click.echo(broker.bootstrap)
        while not asked.wait(0.5):
            broker.check()
    except EmbeddedKafkaError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
