"""A desk per test, and one shared by a module where a worker is expensive to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.streams.desk import Desk


@pytest.fixture
def desk(kafka: str, topic_prefix: str, tmp_path: Path) -> Desk:
    return Desk(kafka, topic_prefix, tmp_path)


@pytest.fixture(scope="module")
def shared_desk(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with topics, uk ready and de not, and one worker that runs throughout the module."""
    desk = Desk(kafka, f"streams-{uuid4().hex[:8]}", tmp_path_factory.mktemp("streams"))
    desk.create_topics()
    desk.make_ready("uk", rules='{"write_back": true}')
    with desk.worker():
        yield desk
