"""A real Prometheus and Alertmanager against the demo, where both are on the PATH: their files and their commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from k2x.errors import ConfigError
from k2x.shipped import prometheus_dir

PROGRAMS = ("prometheus", "alertmanager")
# Debian calls Alertmanager's program after its package.
_NAMES = {"prometheus": ("prometheus",), "alertmanager": ("alertmanager", "prometheus-alertmanager")}
_HOST = "127.0.0.1"


def programs() -> dict[str, str]:
    """Where the two programs are. ConfigError where one is not there."""
    found = {}
    for program, names in _NAMES.items():
        path = next((path for name in names if (path := shutil.which(name))), None)
        if path is None:
            raise ConfigError(
                f"--observe needs {program} on the PATH. Debian, Ubuntu: apt-get install prometheus "
                "prometheus-alertmanager; else see prometheus.io/download. Without --observe the demo needs neither"
            )
        found[program] = path
    return found


class Observatory:
    """`rules` makes the demo's rules of the shipped ones; `notify`: a webhook that Alertmanager posts to."""

    def __init__(
        self,
        directory: Path,
        *,
        scrape_s: int = 2,
        notify: str | None = None,
        rules: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._programs = programs()
        self._directory = directory
        self._scrape_s, self._notify, self._rules = scrape_s, notify, rules

    def commands(self, ports: Mapping[str, int], processes: Iterable[str]) -> dict[str, Sequence[str]]:
        """Writes the configuration; the commands that run both."""
        self._directory.mkdir(parents=True, exist_ok=True)
        written = []
        for path in sorted((prometheus_dir() / "rules").glob("*.yml")):
            written.append(self._directory / path.name)
            written[-1].write_text(self._rules(path.read_text("utf-8")), "utf-8")
        prometheus, alertmanager = self._directory / "prometheus.yml", self._directory / "alertmanager.yml"
        prometheus.write_text(yaml.safe_dump(self._prometheus(ports, processes, written)), "utf-8")
        alertmanager.write_text(yaml.safe_dump(self._alertmanager()), "utf-8")
        return {
            "prometheus": [
                self._programs["prometheus"],
                f"--config.file={prometheus}",
                f"--storage.tsdb.path={self._directory / 'prometheus'}",
                f"--web.listen-address={_HOST}:{ports['prometheus']}",
                "--enable-feature=exemplar-storage",
                "--log.level=warn",
            ],
            "alertmanager": [
                self._programs["alertmanager"],
                f"--config.file={alertmanager}",
                f"--storage.path={self._directory / 'alertmanager'}",
                f"--web.listen-address={_HOST}:{ports['alertmanager']}",
                "--cluster.listen-address=",  # alone: no port for others of its kind
                "--log.level=warn",
            ],
        }

    def _prometheus(self, ports: Mapping[str, int], processes: Iterable[str], rules: list[Path]) -> dict[str, Any]:
        targets = [
            {"targets": [f"{_HOST}:{ports[f'{name}-metrics']}"], "labels": {"process": name}} for name in processes
        ]
        every = f"{self._scrape_s}s"
        return {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(path) for path in rules],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{_HOST}:{ports['alertmanager']}"]}]}]},
            "scrape_configs": [{"job_name": "k2x", "static_configs": targets}],
        }

    def _alertmanager(self) -> dict[str, Any]:
        receiver: dict[str, Any] = {"name": "people"}
        if self._notify is not None:
            receiver["webhook_configs"] = [{"url": self._notify, "send_resolved": True}]
        route = {
            "receiver": "people", "group_by": ["alertname", "org"], "group_wait": "1s", "group_interval": "2s",
            "repeat_interval": "1h",
        }  # fmt: skip
        return {"route": route, "receivers": [receiver]}
