"""What the process of confirmations is told: frozen settings, made by k2x from k2x.yaml and the environment."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

What = Literal["posted", "refused", "held"]


class Target(BaseModel):
    """A system that is told. `stores`: instance/siteName; empty: all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    url: str
    secret: SecretStr
    events: frozenset[What] = frozenset({"posted", "refused", "held"})
    stores: frozenset[str] = frozenset()
    batch: int = Field(50, ge=1, le=500, description="confirmations of one request")
    timeout_s: float = Field(20.0, gt=0, description="of one request, in all")
    backoff_s: float = Field(1.0, gt=0, description="first pause after a failure; doubles to 60 s")
    history: bool = Field(False, description="begin with the first result there is, not with the next one")


class ConfirmSettings(BaseModel):
    """The process; each target has a consumer group of its own, so that none holds another up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: tuple[Target, ...] = ()
    group_id: str = "k2x-confirm"
    session_timeout_s: float = Field(10.0, gt=1, description="a dead process keeps its partitions so long")
