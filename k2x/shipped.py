"""Finds the files that come with k2x: beside the packages in a checkout, inside k2x in a wheel."""

from __future__ import annotations

from pathlib import Path


def prometheus_dir() -> Path:
    """The folder with Prometheus' rules."""
    inside = Path(__file__).parent / "shipped_prometheus"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "grafana" / "prometheus"


def rules_dir() -> Path:
    """The folder with default.yaml and the demo's rules."""
    inside = Path(__file__).parent / "shipped_rules"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "rules"
