"""Sends the outbox to the receiver. Guarantees: at least once, oldest first, each event until it is answered 202."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import structlog

from connectors.kentico.sandbox.database import Outgoing
from connectors.kentico.sandbox.payload import sign
from connectors.kentico.sandbox.shop import Shop

log = structlog.get_logger("kentico.sandbox.sender")

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts: doubling, and short at the top because a person is watching."""
BATCH = 20
"""Events in one request at most; the contract allows 500, a real sender's backlog is seldom that long."""


@dataclass
class Target:
    """Where the receiver listens, e.g. `http://127.0.0.1:8080`; None keeps everything in the outbox."""

    url: str | None = None
    batch: int = BATCH
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Sender:
    """One sender per instance, as one node of a web farm would be; order of events is kept."""

    def __init__(self, shop: Shop, target: Target, *, unix_time: Callable[[], float] = time.time) -> None:
        self.shop = shop
        self.target = target
        self.failures = 0
        self.last_answer: str | None = None
        self._unix_time = unix_time
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def start(self) -> None:
        """Begin sending, with whatever an earlier process left."""
        self._task = asyncio.create_task(self._run(), name=f"sender {self.shop.name}")
        self.wake()

    async def stop(self) -> None:
        """Stop; unsent events stay in the outbox."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        # Total time-out well above the receiver's own wait for Kafka, so that an answer is not given up on too early.
        timeout = aiohttp.ClientTimeout(total=20, connect=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            pause = FIRST_PAUSE
            while True:
                batch = self._batch() if self.target.url is not None else []
                if not batch:
                    await self._wake.wait()
                    self._wake.clear()
                    continue
                wait = await self._attempt(session, batch)
                if wait is None:
                    pause = FIRST_PAUSE
                    continue
                self.failures += 1
                await asyncio.sleep(min(max(wait, pause), LONGEST_PAUSE))
                pause = min(pause * 2, LONGEST_PAUSE)

    def _batch(self) -> list[Outgoing]:
        """The oldest events that go by the same route; a flat row always goes alone."""
        waiting = self.shop.database.outgoing(self.target.batch)
        if not waiting or waiting[0].route == "hints":
            return waiting[:1]
        stop = next((n for n, item in enumerate(waiting) if item.route == "hints"), len(waiting))
        return waiting[:stop]

    async def _attempt(self, session: aiohttp.ClientSession, batch: list[Outgoing]) -> float | None:
        """Send once. None: done with these events; else the seconds the receiver asks to wait."""
        sequences = [item.sequence for item in batch]
        url, body, headers = self._request(batch)
        try:
            async with session.post(url, data=body, headers=headers) as reply:
                status, text = reply.status, (await reply.text())[:300]
                retry_after = reply.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._note(sequences, "pending", f"{type(error).__name__}: {error}"[:300])
            return 0.0
        if status == 202:
            self._note(sequences, "sent", "202")
            return None
        log.warning("receiver_refused", instance=self.shop.name, status=status, events=len(batch))
        if status in (400, 413):
            # The receiver will not change its mind. Alone, each event shows whether it is the one at fault.
            if len(batch) > 1:
                for item in batch:
                    wait = await self._attempt(session, [item])
                    if wait is not None:
                        return wait
                return None
            self._note(sequences, "rejected", f"{status} {text}")
            return None
        self._note(sequences, "pending", f"{status} {text}")
        return float(retry_after) if retry_after.isdigit() else 0.0

    def _note(self, sequences: list[int], state: str, answer: str) -> None:
        self.last_answer = answer
        self.shop.database.mark(sequences, state, answer)

    def _request(self, batch: list[Outgoing]) -> tuple[str, bytes, dict[str, str]]:
        base = f"{str(self.target.url).rstrip('/')}/kentico/{self.shop.name}"
        headers = {"Content-Type": "application/json"}
        if batch[0].route == "hints":
            return f"{base}/hints/{self.shop.credentials.hint_token}", batch[0].body.encode(), headers
        bodies = [item.body for item in batch]
        body = (bodies[0] if len(bodies) == 1 else f"[{','.join(bodies)}]").encode()
        headers["X-Kentico-Event-Id"] = batch[0].event_id
        headers["X-Kentico-Delivery-Attempt"] = str(batch[0].attempts + 1)
        headers["X-Kentico-Signature"] = sign(self.shop.credentials.webhook_secret, int(self._unix_time()), body)
        return f"{base}/events", body, headers
