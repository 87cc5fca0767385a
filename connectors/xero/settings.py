"""What the sink may be told. Defaults are production's; tests shorten the waits."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class CoreSettings(BaseModel):
    """What the decisions need: everything in seconds of the lane's own clock, sizes in documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(50, ge=1, le=100, description="documents a call: Xero advises 50, vendors report 300 working")
    lookup: int = Field(40, ge=1, le=50, description="ids in a read-back's URL: about 52 GUIDs are the practical end")
    intention_lapse: float = Field(30.0, gt=0, description="no byte leaves later after its last acknowledged intention")
    deadline: float = Field(60.0, gt=0, description="of a whole call")
    same_key_window: float = Field(240.0, gt=0, description="Xero forgets an Idempotency-Key after 6 minutes")
    speed: float = Field(1.0, gt=0, description="sandbox only: Xero's clock runs this much faster than ours")
    moment: float = Field(5.0, gt=0, description="trouble longer than this puts the order into the ledger as WAITING")
    retry: float = Field(600.0, gt=0, description="a WAITING order that no batch drives is tried again after this")
    auth_retry: float = Field(60.0, gt=0, description="how often a lane that Xero keeps out knocks again")
    summary_quiet: float = Field(300.0, gt=0, description="a day's summary closes when no order came for so long")
    outage_backoff: float = Field(1.0, gt=0, description="first wait when Xero is offline; doubles to a minute")
    repeat_backoff: float = Field(1.0, gt=0, description="first wait before an unclear call is repeated; doubles to 30")
    intake: int = Field(400, ge=1, description="unfinished orders in memory: eight full batches")
    held_in_memory: int = Field(2000, ge=1, description="orders in memory, those already in the ledger as WAITING too")
    transaction: int = Field(2000, ge=10, description="records in one transaction")

    @property
    def key_window(self) -> float:
        """How long the same bytes may be repeated under their key, on our clock."""
        return self.same_key_window / self.speed


class SinkSettings(BaseModel):
    """A sink process: the core's settings and those of its threads and clients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state_dir: Path = Field(description="local copies of ledgers and reference data; may be lost at any time")
    core: CoreSettings = CoreSettings()
    group_id: str = "k2x-sink"
    instance_id: str | None = Field(None, description="static membership: a restart within the session moves nothing")
    queue: int = Field(200, ge=1, description="records between the consumer and a lane")
    workers: int = Field(5, ge=1, le=5, description="Xero takes 5 calls at a time")
    session_timeout: float = Field(45.0, gt=0)
    max_poll_interval: float = Field(300.0, gt=0)
    transaction_timeout: float = Field(60.0, gt=0)
    metadata_refresh: float = Field(3.0, gt=0, description="a new organisation's topic is found within this")
    close_timeout: float = Field(10.0, gt=0, description="how long a revoked lane may take to stop")
    reopen: float = Field(5.0, gt=0, description="first wait before a lane that failed is taken over again")
    poll: float = Field(0.1, gt=0)
