"""What the watcher shows to Prometheus: the last sample of lag, and the dead letters as they stand.

Made anew at each scrape, so a partition, group or letter that is gone leaves no stale series behind. A sample that is
old is not shown at all: an alert on a missing metric is honest, a frozen number is not.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from k2x.dead_letters.letter import Letter, State
from k2x.watch.lag import Behind, Sample
from schemas.topics import org_of

_STALE = 4  # samples that may be missed


@dataclass
class Seen:
    """What the watcher knows now; replaced as a whole, read by the scrape's thread."""

    sample: Sample | None = None
    letters: tuple[Letter, ...] | None = None


class WatchCollector(Collector):
    """Shows what `seen` holds."""

    def __init__(self, seen: Seen, every_s: float, clock: Callable[[], float] = time.time) -> None:
        self._seen = seen
        self._fresh_s = every_s * _STALE
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        sample, letters = self._seen.sample, self._seen.letters
        if sample is not None:
            at = GaugeMetricFamily("k2x_lag_sampled_timestamp_seconds", "When consumer lag was last read")
            at.add_metric([], sample.at)
            yield at
            if self._clock() - sample.at <= self._fresh_s:
                yield from lag_metrics(sample)
        if letters is not None:
            yield from letter_metrics(letters)


def lag_metrics(sample: Sample) -> Iterator[Metric]:
    """kafka_exporter's metrics, then our own: seconds, and each organisation's backlog."""
    labels = ["consumergroup", "topic", "partition"]
    lag = GaugeMetricFamily("kafka_consumergroup_lag", "Records not yet committed by the group", labels=labels)
    at = GaugeMetricFamily("kafka_consumergroup_current_offset", "Offset committed by the group", labels=labels)
    seconds = GaugeMetricFamily(
        "k2x_consumergroup_lag_seconds", "Age of the first record that the group has not committed", labels=labels
    )
    for one in sample.behind:
        place = [one.group, one.topic, str(one.partition)]
        lag.add_metric(place, one.records)
        seconds.add_metric(place, one.seconds)
        if one.committed is not None:
            at.add_metric(place, one.committed)
    yield from (lag, at, seconds)
    ends = ["topic", "partition"]
    newest = GaugeMetricFamily("kafka_topic_partition_current_offset", "Next offset of the partition", labels=ends)
    oldest = GaugeMetricFamily("kafka_topic_partition_oldest_offset", "Oldest offset of the partition", labels=ends)
    for (topic, partition), (low, high) in sample.ends.items():
        oldest.add_metric([topic, str(partition)], low)
        newest.add_metric([topic, str(partition)], high)
    yield from (newest, oldest)
    members = GaugeMetricFamily("kafka_consumergroup_members", "Members of the group", labels=["consumergroup"])
    for group, count in sample.members.items():
        members.add_metric([group], count)
    brokers = GaugeMetricFamily("kafka_brokers", "Brokers of the cluster")
    brokers.add_metric([], sample.brokers)
    yield from (members, brokers)
    commands = GaugeMetricFamily(
        "k2x_backlog_commands", "Commands of an organisation that its sink has not finished", labels=["org"]
    )
    age = GaugeMetricFamily("k2x_backlog_seconds", "Age of the oldest of them", labels=["org"])
    for org, one in backlogs(sample):
        commands.add_metric([org], one.records)
        age.add_metric([org], one.seconds)
    yield from (commands, age)


def backlogs(sample: Sample) -> Iterator[tuple[str, Behind]]:
    """Each organisation's command topic, which has one partition."""
    for one in sample.behind:
        try:
            yield org_of(one.topic), one
        except ValueError:
            continue


def letter_metrics(letters: Iterable[Letter]) -> Iterator[Metric]:
    """How many letters stand how, and since when the oldest open one waits for somebody."""
    counts: Tally[tuple[str, str, str, str]] = Tally()
    oldest: dict[tuple[str, str], datetime] = {}
    for letter in letters:
        counts[letter.org, letter.error_class, letter.home, letter.state.value.replace(" ", "_")] += 1
        if letter.state is State.OPEN:
            key = (letter.org, letter.error_class)
            oldest[key] = min(letter.at, oldest.get(key, letter.at))
    depth = GaugeMetricFamily(
        "k2x_dead_letters", "Dead letters by how they stand: open ones wait for a person",
        labels=["org", "error_class", "topic", "state"],
    )  # fmt: skip
    for labels, count in counts.items():
        depth.add_metric(list(labels), count)
    since = GaugeMetricFamily(
        "k2x_dead_letters_oldest_timestamp_seconds", "When the oldest open dead letter was written",
        labels=["org", "error_class"],
    )  # fmt: skip
    for (org, error_class), at in oldest.items():
        since.add_metric([org, error_class], at.timestamp())
    yield from (depth, since)


class WatchCounters:
    """What the watcher itself does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.failures = Counter(
            "k2x_watch_failures", "Looks that failed, by part: lag, letters, notify", ["part"], registry=registry
        )
        self.notified = Counter(
            "k2x_watch_notifications", "Messages sent directly, by channel and class", ["channel", "org", "class"],
            registry=registry,
        )  # fmt: skip
        for part in ("lag", "letters", "notify"):
            self.failures.labels(part)
