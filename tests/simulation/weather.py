"""What a seed decides before its run: how Xero counts, how fast it is, what breaks how often, and who is in the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from connectors.xero.budget import Limits
from connectors.xero.settings import CoreSettings

MINUTES, HOURS, DAYS = 60.0, 3600.0, 86_400.0

# What may happen to one call. Names say what the sink sees, and whether Xero has done the work ("after") or not.
CALL_FAULTS = {
    "refused": 2,  # no connection
    "request_lost": 3,  # the bytes went out and never arrive
    "answer_lost": 5,  # done, and the connection is gone
    "late": 3,  # the connection breaks, the request arrives all the same, within the deadline
    "slow": 3,  # committed and answered when we have nearly or already given up
    "500_before": 2,
    "500_after": 3,
    "502_before": 1,
    "504_after": 2,
    "503": 2,
    "404_html": 1,
    "401": 1,
    "403": 0.3,
    "html_200": 2,
    "cut_200": 2,
    "element_missing": 1,  # a 200 that says nothing of one document
    "id_with_error": 1,  # done, and an error beside the id
    "no_id": 1,  # not done, and neither id nor error (xero.md §1.6)
}
OUTAGES = ("503", "refused", "request_lost", "403", "401", "500_before", "504_after")


@dataclass(frozen=True)
class Outage:
    """From `start` to `end` every call of `org` meets `kind`."""

    org: str
    start: float
    end: float
    kind: str


@dataclass
class Weather:
    """Rates are per call, per transaction, per point passed; counts are of the whole storm."""

    seed: int
    profile: str
    orgs: tuple[str, ...] = ("uk",)
    hosts: int = 2
    orders: int = 30
    storm: float = 10 * MINUTES
    spread: float = 2 * MINUTES  # in which the commands come
    settings: CoreSettings = field(default_factory=CoreSettings)
    limits: Limits = field(default_factory=Limits)
    day: int = 5000  # Xero's
    day_used: int = 0  # of it before we begin
    app_minute: int = 10_000
    rolling: bool = False
    scope: str = "app"  # of an Idempotency-Key, or "token"
    latency: float = 0.4
    per_element: float = 0.005
    shuffled: bool = True  # elements come back in another order
    kafka: float = 0.02
    call_faults: float = 0.0
    too_late: float = 0.0  # of the calls: Xero commits after the deadline, the residual of DESIGN §3.2
    outages: list[Outage] = field(default_factory=list)
    point: float = 0.0  # that a process ends or freezes at a named point: before and after each action and step
    aborts: float = 0.0
    acks_lost: float = 0.0
    crashes: int = 0
    zombies: int = 0
    rebalances: int = 0
    clock_jumps: int = 0
    hands: int = 0  # edits by people
    foreign: int = 0  # bursts of calls by other tools of the same app
    tokens_killed: int = 0
    compactions: int = 0
    offset_lost: float = 0.0  # at a take-over: the group's offset is gone
    copy_lost: float = 0.0  # when a process is started: its local copies are gone
    trouble: float = 0.05  # of the orders: wrong from the start
    versions: float = 0.3
    edits: float = 0.25  # of orders whose store has them issued anew
    cancels: float = 0.05
    refunds: float = 0.15
    unpaid: float = 0.15  # of the orders: their payments are refused, and they are refunded or deleted
    settlements: int = 0  # of an organisation
    summaries: float = 0.0  # of the orders: of a store whose day is one invoice

    @property
    def patience(self) -> float:
        """How much longer than usual everything may take: a day that is used up, a clock that was set back by one."""
        return 4 * DAYS if self.profile in {"day", "week"} or self.clock_jumps else 0.0


def weather(seed: int) -> Weather:
    """The seed's."""
    r = Random(f"weather {seed}")
    profile = r.choices(list(_PROFILES), [weight for weight, _ in _PROFILES.values()])[0]
    w = Weather(seed, profile)
    w.orgs = ("uk", "eu") if r.random() < 0.2 else ("uk",)
    w.hosts = r.choice((1, 2, 2, 3))
    w.orders = r.choice((12, 20, 30, 40))
    w.rolling = r.random() < 0.4
    w.scope = r.choice(("app", "token"))
    w.latency, w.per_element = r.choice(((0.15, 0.002), (0.4, 0.005), (1.0, 0.02), (3.0, 0.08)))
    w.shuffled = r.random() < 0.8
    w.kafka = r.choice((0.005, 0.02, 0.2))
    w.spread = r.choice((0.0, 30.0, 2 * MINUTES, 8 * MINUTES))
    batch = r.choice((50, 50, 50, 20, 5, 2))
    lookup = r.choice((40, 40, 3))
    small = r.random() < 0.3
    w.settings = CoreSettings(
        batch=batch, lookup=lookup, intake=10 if small else 400, held_in_memory=25 if small else 2000
    )
    w.clock_jumps = r.choice((0, 0, 1, 3))
    w.foreign = r.choice((0, 0, 2, 6))
    w.compactions = r.choice((0, 1, 3))
    w.copy_lost = r.choice((0.0, 0.3))
    _PROFILES[profile][1](w, r)
    w.settlements = r.choice((0, 1, 2, 4))
    of_days = Random(f"summaries of {seed}")
    w.summaries = of_days.choice((0.0, 0.0, 0.4, 1.0))
    w.settings = w.settings.model_copy(update={"summary_quiet": of_days.choice((2.0, 30.0))})
    return w


def _mixed(w: Weather, r: Random) -> None:
    """A bit of everything."""
    w.call_faults = r.choice((0.02, 0.1, 0.25))
    w.point = r.choice((0.0, 0.003, 0.01))
    w.aborts = r.choice((0.0, 0.05))
    w.acks_lost = r.choice((0.0, 0.02))
    w.crashes, w.zombies, w.rebalances = r.choice((0, 1, 3)), r.choice((0, 1, 2)), r.choice((0, 1, 2))
    w.tokens_killed = r.choice((0, 0, 2))
    w.offset_lost = r.choice((0.0, 0.0, 0.3))
    if r.random() < 0.3:
        w.outages = _outages(w, r, 2, 5 * MINUTES)
    w.too_late = r.choice((0.0, 0.0, 0.05))
    w.hands = r.choice((0, 0, 3))


def _calm(w: Weather, r: Random) -> None:
    """Nothing breaks: then nothing may be wasted either."""
    w.trouble, w.foreign = r.choice((0.0, 0.1)), 0


def _calls(w: Weather, r: Random) -> None:
    """Xero and the way to it at their worst, the sink itself steady."""
    w.call_faults = r.choice((0.2, 0.4))
    w.tokens_killed = r.choice((0, 3))
    w.outages = _outages(w, r, r.choice((0, 3)), 8 * MINUTES)
    w.storm = 20 * MINUTES


def _owners(w: Weather, r: Random) -> None:
    """Owners die, freeze, wake and are replaced."""
    w.hosts = r.choice((2, 3))
    w.point = r.choice((0.005, 0.02))
    w.crashes, w.zombies, w.rebalances = r.choice((2, 5)), r.choice((2, 4)), r.choice((1, 3))
    w.call_faults = r.choice((0.0, 0.1))
    w.aborts, w.acks_lost = r.choice((0.0, 0.1)), r.choice((0.0, 0.05))
    w.offset_lost = r.choice((0.0, 0.2))
    w.latency, w.per_element = r.choice(((0.4, 0.005), (3.0, 0.3), (10.0, 0.5)))  # much is under way when they die
    w.storm = 20 * MINUTES


def _limits(w: Weather, r: Random) -> None:
    """Minute, app-minute and concurrent limits, with others at the same bucket."""
    w.orders = 40
    w.settings = w.settings.model_copy(update={"batch": r.choice((1, 2))})
    w.spread = r.choice((0.0, 30.0, 10 * MINUTES))
    w.foreign = r.choice((2, 8, 20))
    w.app_minute = r.choice((10_000, 10_000, 60))
    w.crashes, w.rebalances = r.choice((0, 2)), r.choice((0, 1))
    w.latency = r.choice((0.15, 6.0))
    w.storm = 15 * MINUTES


def _day(w: Weather, r: Random) -> None:
    """The day's calls are used up with a backlog; it goes on when they are back."""
    w.day = 1000
    w.day_used = w.day - r.choice((20, 40, 80))
    w.limits = Limits(day=r.choice((w.day, 5000)), day_reserve=r.choice((5, 15)))
    w.settings = w.settings.model_copy(update={"batch": r.choice((1, 2, 5)), "auth_retry": 600.0})
    w.orders = 30
    w.spread = r.choice((0.0, 8 * MINUTES))
    w.call_faults = r.choice((0.0, 0.05))
    w.crashes = r.choice((0, 1))
    w.foreign = r.choice((0, 3))


def _hands(w: Weather, r: Random) -> None:
    """People work in Xero at the same time."""
    w.hands = r.choice((4, 8, 15))
    w.call_faults = r.choice((0.0, 0.1))
    w.crashes = r.choice((0, 1, 2))
    w.spread = r.choice((2 * MINUTES, 8 * MINUTES))


def _week(w: Weather, r: Random) -> None:
    """Xero keeps us out for a week, or is away for half a day; the orders wait in the ledger."""
    start = r.uniform(5.0, 60.0)
    kind, lasts = r.choice((("403", 7 * DAYS), ("503", 12 * HOURS)))
    w.outages = [Outage(org, start, start + lasts, kind) for org in w.orgs]
    w.settings = w.settings.model_copy(update={"auth_retry": 4 * HOURS, "outage_backoff": 60.0})
    w.orders = 15
    w.storm = lasts + 10 * MINUTES
    w.crashes, w.rebalances = r.choice((0, 2)), r.choice((0, 2))
    w.compactions = 3
    w.spread = r.choice((30.0, lasts / 2))


def _outages(w: Weather, r: Random, most: int, longest: float) -> list[Outage]:
    found = []
    for _ in range(most):
        start = r.uniform(0, w.storm)
        found.append(Outage(r.choice(w.orgs), start, start + r.uniform(1, longest), r.choice(OUTAGES)))
    return found


_PROFILES = {
    "mixed": (40, _mixed),
    "calm": (4, _calm),
    "calls": (14, _calls),
    "owners": (18, _owners),
    "limits": (8, _limits),
    "day": (4, _day),
    "hands": (10, _hands),
    "week": (2, _week),
}
