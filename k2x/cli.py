"""The `k2x` command: every sub-command is in k2x/commands/, imported only when it is asked for."""

from __future__ import annotations

import errno
import importlib
import sys
from typing import Any

import click

from k2x.errors import K2xError

# Name → (module of k2x.commands, one line for --help). Imported on use: `k2x check` must not wait for Faust.
_COMMANDS = {
    "init": ("init", "Write a commented configuration for a real shop."),
    "check": ("check", "Validate configuration and rules; with --live the connections too."),
    "demo": ("demo", "Kafka, a Kentico shop, a Xero sandbox and all of k2x on this machine."),
    "up": ("up", "Run every process of this configuration, and Kafka if none is configured."),
    "run": ("run", "Run one process: receiver, reader, poller, cdc, streams, sink, writeback, confirm, watch."),
    "topics": ("topics", "Create or describe the Kafka topics."),
    "rules": ("rules", "Publish or show the business rules."),
    "dlt": ("dlt", "The dead letters: list, show, send again."),
    "reconcile": ("reconcile", "Do the books agree? Topics, ledger and Xero compared, apart from the sink."),
    "ledger": ("ledger", "The ledger: rebuild a lost one from Xero, show entries."),
    "summary": ("summary", "Daily summaries: list them, show the orders of one."),
    "trace": ("trace", "The whole story of one order, or of a daily summary."),
    "settlements": ("settlements", "What payment gateways paid out: import files, list, show."),
    "backfill": ("backfill", "Bring in the orders that were in Kentico before k2x."),
    "replay": ("replay", "Send orders through once more; say before what that would do."),
    "xero": ("xero", "Connect to Xero; show the state of the connection."),
    "xero-sandbox": ("sandboxes", "Run the Xero sandbox alone."),
    "kentico-sandbox": ("sandboxes", "Run the Kentico sandbox alone."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"k2x.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except K2xError as error:
            click.echo(f"k2x: {error}", err=True)
            ctx.exit(1)
        except click.exceptions.Exit:
            raise
        except Exception as error:
            text = said(error)
            if text is None:  # ours to mend: its stack trace is what we need
                raise
            click.echo(f"k2x: {text}", err=True)
            ctx.exit(1)


def said(error: Exception) -> str | None:
    """What a person is told of an error from below the front door; None for one that is a bug."""
    from confluent_kafka import KafkaException

    from connectors.kentico.errors import KenticoError
    from connectors.xero.errors import XeroError
    from schemas.errors import DeliveryError, SchemaError

    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, OSError):
        return _said_by_system(error)
    if isinstance(error, KafkaException):
        return f"Kafka: {error}. Check the kafka section of the configuration, and that the broker is up."
    return str(error) if isinstance(error, KenticoError | XeroError | DeliveryError | SchemaError) else None


def _said_by_system(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{error.strerror or error}. Another program listens there: stop it, or choose another port under "
            "`ports` in k2x.yaml (0: a free one)"
        )
    if error.filename is None:
        return str(error)
    return f"{error.filename}: {error.strerror}. Choose a place that exists, has room, and that you may write to."


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="k2x")
def main() -> None:
    """Streams Kentico commerce into Xero accounting over Kafka: every paid order once, to the cent.

    Try it:  k2x demo --once --orders 300
    """


if __name__ == "__main__":
    sys.exit(main())
