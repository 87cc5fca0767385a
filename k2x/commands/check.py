"""`k2x check [--live]`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from k2x import checks
from k2x.commands.options import config_option, settings_of


@click.command()
@config_option
@click.option("--live", is_flag=True, help="Also ask Kafka, each Kentico and each Xero organisation.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def check(config: Path, live: bool, as_json: bool) -> None:
    """Validate configuration, secrets and rules; exit code 1 when something must be mended.

    Each finding names the file, the line or the key, and the remedy.

    Example:  k2x check --config k2x.yaml --live
    """
    settings = settings_of(config)
    findings = list(checks.offline(config, settings))
    if live and not any(f.level == "error" for f in findings):
        findings += checks.live(settings, settings.kafka.bootstrap)
    for finding in findings:
        if as_json:
            click.echo(json.dumps({"level": finding.level, "where": finding.where, "text": finding.text}))
        else:
            click.echo(f"{finding.level:8} {finding.where}: {finding.text}")
    errors = sum(f.level == "error" for f in findings)
    if not as_json:
        click.echo(f"{errors} error(s), {sum(f.level == 'warning' for f in findings)} warning(s)")
    raise SystemExit(1 if errors else 0)
