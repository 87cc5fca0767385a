"""Runs k2x's processes as children of one front process: `k2x up` and `k2x demo`.

A child that dies is started again with a growing pause; none outlives the parent, not even a parent killed by -9
(PR_SET_PDEATHSIG), and Ctrl-C reaches each of them once, through the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1
# Faust needs up to 5 s to leave its group; Ctrl-C must be over within 10 s.
_GRACE_S = 7.0
_RESTART_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)
# Five deaths within a minute are a fault of ours or of the configuration: a person has to look.
_DEATHS_TOO_MANY = 5
_DEATHS_WINDOW_S = 60.0


@dataclass
class Child:
    """One process: its command, its log file, and what became of it."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log_file: Path
    process: asyncio.subprocess.Process | None = None
    deaths: list[float] = field(default_factory=list)
    restarts: int = 0
    failed: str | None = None
    watcher: asyncio.Task[None] | None = None


class Supervisor:
    """Starts children, restarts the dead, stops all. `on_failure` is told of a child that is given up."""

    def __init__(self, on_failure: Callable[[str], None] | None = None) -> None:
        self.children: dict[str, Child] = {}
        self._stopping = False
        self._on_failure = on_failure

    async def start(self, name: str, command: Sequence[str], env: Mapping[str, str], log_file: Path) -> Child:
        """Start a process and keep it alive. Its output goes to `log_file`."""
        log_file.parent.mkdir(parents=True, exist_ok=True)
        child = Child(name, command, env, log_file)
        self.children[name] = child
        await self._spawn(child)
        child.watcher = asyncio.create_task(self._watch(child), name=f"watch-{name}")
        return child

    async def retire(self, name: str) -> None:
        """Stop one child for good, as `stop` does."""
        child = self.children.pop(name)
        if child.watcher is not None:
            child.watcher.cancel()
        if child.process is not None and child.process.returncode is None:
            _signal(child, signal.SIGTERM)
            await self._end(child)

    async def stop(self) -> None:
        """Terminate every child, kill what is left after the grace, wait for all."""
        self._stopping = True
        for child in self.children.values():
            if child.watcher is not None:
                child.watcher.cancel()
        alive = [c for c in self.children.values() if c.process is not None and c.process.returncode is None]
        for child in alive:
            _signal(child, signal.SIGTERM)
        await asyncio.gather(*(self._end(child) for child in alive))

    def failures(self) -> list[str]:
        return [f"{c.name}: {c.failed}" for c in self.children.values() if c.failed]

    async def _spawn(self, child: Child) -> None:
        with child.log_file.open("ab") as out:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **child.env},
                start_new_session=True,
                preexec_fn=_dying_with(os.getpid()) if sys.platform == "linux" else None,
            )
        log.info("process_started", process=child.name, pid=child.process.pid)

    async def _watch(self, child: Child) -> None:
        while True:
            assert child.process is not None  # noqa: S101 - set by _spawn
            code = await child.process.wait()
            if self._stopping:
                return
            now = time.monotonic()
            child.deaths = [t for t in child.deaths if now - t < _DEATHS_WINDOW_S] + [now]
            log.warning("process_ended", process=child.name, code=code, log=str(child.log_file))
            if len(child.deaths) >= _DEATHS_TOO_MANY:
                self._give_up(
                    child,
                    f"ended {len(child.deaths)} times in a minute, last with code {code}; see {child.log_file}"
                    f"{_last_words(child.log_file)}",
                )
                return
            await asyncio.sleep(_RESTART_PAUSES_S[min(len(child.deaths) - 1, len(_RESTART_PAUSES_S) - 1)])
            child.restarts += 1
            try:
                await self._spawn(child)
            except OSError as error:
                self._give_up(child, f"cannot be started again: {error}. Is the machine short of memory or files?")
                return

    def _give_up(self, child: Child, why: str) -> None:
        child.failed = why
        if self._on_failure:
            self._on_failure(child.name)

    async def _end(self, child: Child) -> None:
        assert child.process is not None  # noqa: S101 - only living children come here
        try:
            await asyncio.wait_for(child.process.wait(), _GRACE_S)
        except TimeoutError:
            log.warning("process_killed", process=child.name, after_s=_GRACE_S)
            _signal(child, signal.SIGKILL)
            await child.process.wait()


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, number)


def _last_words(path: Path) -> str:
    """What a process said of its end: its last line for a person (`k2x: …`), else its last line."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8000))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    said = next((line for line in reversed(lines) if line.startswith("k2x: ")), lines[-1] if lines else "")
    return f"\n  it said: {said.removeprefix('k2x: ')[:600]}" if said else ""


def _dying_with(parent: int) -> Callable[[], None]:
    """For the child, before exec: the kernel sends SIGTERM when the parent dies, however it dies."""
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: little may be done after it

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # dead before it was asked for
            os._exit(1)

    return ask
