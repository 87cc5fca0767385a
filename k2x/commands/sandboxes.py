"""`k2x xero-sandbox` and `k2x kentico-sandbox`: each alone, for development against it."""

from __future__ import annotations

from pathlib import Path

import click

from k2x.errors import SandboxFailed


@click.command("xero-sandbox")
@click.option("--port", default=8091, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free port.")
@click.option("--state", type=click.Path(path_type=Path), default=Path(".k2x/xero-sandbox"), show_default=True)
def xero_sandbox(port: int, state: Path) -> None:
    """Serve a faithful Xero on this machine; its books are at /books.

    Example:  k2x xero-sandbox --port 8091
    """
    from connectors.xero.sandbox.__main__ import main

    _end(main(["--port", str(port), "--state", str(state)]), "xero-sandbox")


@click.command("kentico-sandbox")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free port.")
@click.option("--state", type=click.Path(path_type=Path), default=Path(".k2x/kentico-sandbox"), show_default=True)
@click.option("--target", default=None, help="The receiver's base address; events are kept until there is one.")
def kentico_sandbox(port: int, state: Path, target: str | None) -> None:
    """Serve Kentico 13 shops with their REST service on this machine.

    Example:  k2x kentico-sandbox --target http://127.0.0.1:8080
    """
    from connectors.kentico.sandbox.__main__ import main

    arguments = ["--port", str(port), "--data", str(state)]
    _end(main([*arguments, "--target", target] if target else arguments), "kentico-sandbox")


def _end(code: int | None, name: str) -> None:
    if code:
        raise SandboxFailed(f"{name} ended with code {code}")
