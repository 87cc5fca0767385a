"""Fixtures for everything that calls Xero."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.xero.office import Office
from tests.connectors.xero.servers import SandboxProcess, sandbox


@pytest.fixture(scope="session")
def xero_sandbox() -> Iterator[SandboxProcess]:
    """The real Xero sandbox as a process, in memory, shared by the session; with limits no test runs into."""
    with sandbox("--minute-limit", "10000") as running:
        yield running


@pytest.fixture
def office(kafka: str, xero_sandbox: SandboxProcess, topic_prefix: str, tmp_path: Path) -> Iterator[Office]:
    made = Office(kafka, xero_sandbox, topic_prefix, tmp_path)
    yield made
    made.side_door("faults", method="DELETE")
