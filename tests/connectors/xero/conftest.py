"""Fixtures for everything that calls Xero."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.xero.servers import SandboxProcess, sandbox


@pytest.fixture(scope="session")
def xero_sandbox() -> Iterator[SandboxProcess]:
    """The real Xero sandbox as a process, in memory, shared by the session; with limits no test runs into."""
    with sandbox("--minute-limit", "10000") as running:
        yield running
