"""Children: started again when they die, stopped in time, never orphaned."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from k2x.supervisor import Supervisor


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0]
    return state != "Z"


async def until(condition: object, seconds: float = 20.0) -> None:
    for _ in range(int(seconds * 50)):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.02)
    pytest.fail("waited in vain")


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor()
    child = await supervisor.start(
        "sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "log"
    )
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.process is not None and child.process.pid != first)
    second = child.process.pid
    assert alive(second)
    await supervisor.stop()
    assert not alive(second)
    assert child.restarts == 1


async def test_a_child_that_cannot_start_is_given_up_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k2x.supervisor._RESTART_PAUSES_S", (0.0,))
    failed: list[str] = []
    supervisor = Supervisor(on_failure=failed.append)
    await supervisor.start("broken", [sys.executable, "-c", "raise SystemExit(3)"], {}, tmp_path / "log")
    await until(lambda: bool(failed))
    assert "code 3" in supervisor.failures()[0]
    await supervisor.stop()


async def test_a_stubborn_child_is_killed_after_the_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k2x.supervisor._GRACE_S", 0.3)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    supervisor = Supervisor()
    child = await supervisor.start("stubborn", [sys.executable, "-c", stubborn], {}, tmp_path / "log")
    await until(lambda: "up" in (tmp_path / "log").read_text("utf-8"))
    assert child.process is not None
    await supervisor.stop()
    assert not alive(child.process.pid)


async def test_a_retired_child_ends_and_is_not_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor()
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    kept = await supervisor.start("kept", command, {}, tmp_path / "log")
    child = await supervisor.start("third", command, {}, tmp_path / "log")
    assert child.process is not None
    assert kept.process is not None
    await supervisor.retire("third")
    assert child.process.returncode == -signal.SIGTERM
    assert child.watcher is not None
    await asyncio.wait([child.watcher])
    assert child.restarts == 0
    assert alive(kept.process.pid)
    await supervisor.stop()


async def test_a_child_does_not_outlive_a_parent_killed_by_9(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from k2x.supervisor import Supervisor
        async def main():
            sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
            child = await Supervisor().start("c", sleep, {}, Path(sys.argv[1]))
            print(child.process.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lines = iter(parent.stdout.readline, "")
    pid = next(int(line) for line in lines if line.strip().isdigit())
    assert alive(pid)
    parent.kill()
    parent.wait()
    await until(lambda: not alive(pid))


async def test_a_process_given_up_is_named_with_its_last_word_for_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k2x.supervisor._RESTART_PAUSES_S", (0.0,))
    supervisor = Supervisor()
    program = "import sys; print('k2x: port 8080 is taken'); sys.exit(1)"
    await supervisor.start("receiver", [sys.executable, "-c", program], {}, tmp_path / "log")
    await until(lambda: bool(supervisor.failures()))
    assert supervisor.failures()[0].endswith("it said: port 8080 is taken")
    await supervisor.stop()
