"""What `k2x check --live` says of the topics that Debezium's connector is to write. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connectors.kentico.cdc import feeds
from connectors.kentico.settings import CdcProcessSettings, InstanceSettings
from k2x.findings import Finding
from k2x.group_offsets import GroupOffsets, Span

_GROUP: str = CdcProcessSettings.model_fields["group_id"].default
_REMEDY = "see docs/cdc.md"


def captured(kafka: Mapping[str, Any], instances: Iterable[InstanceSettings], group: str = _GROUP) -> Iterator[Finding]:
    """One finding for each topic that is missing, empty, or has lost what was never read; else one that all is well.

    A topic that is missing may only wait for the first change of its table, as the connector makes it then; that none
    of an instance's is there, while another database's are, is a wrong name in the configuration.
    """
    offsets = GroupOffsets(kafka)
    sizes = offsets.partitions()
    wanted = feeds(list(instances))
    spans = offsets.spans(group, {(t, n) for t in wanted if t in sizes for n in range(sizes[t])})
    for name in dict.fromkeys(feed.instance.name for feed in wanted.values()):
        own = {topic: feed.table for topic, feed in wanted.items() if feed.instance.name == name}
        found = [*_missing(name, own, sizes)]
        for topic in (topic for topic in own if topic in sizes):
            found += _held(name, topic, [spans[topic, number] for number in range(sizes[topic])])
        yield from found or [
            Finding("ok", f"instances.{name}.cdc", f"{len(own)} topics of Debezium's, all with records")
        ]


def _missing(instance: str, own: Mapping[str, str | None], there: Iterable[str]) -> Iterator[Finding]:
    absent = [topic for topic in own if topic not in there]
    tables = {topic: table for topic, table in own.items() if table is not None}
    where = f"instances.{instance}.cdc"
    if tables and all(topic in absent for topic in tables):
        ends = tuple(f".{table}" for table in tables.values())
        alike = sorted(topic for topic in there if topic.endswith(ends))
        if alike:
            text = (
                f"none of {next(iter(tables))} and its like exists, but {alike[0]} does: a topic is named "
                "<topic_prefix>.<database>.<schema_name>.<table>, upper and lower case apart; mend topic_prefix, "
                "database or schema_name"
            )
            yield Finding("error", where, text)
            absent = [topic for topic in absent if topic not in tables]
    for topic in absent:
        what = f"no row of {own[topic]} has changed since the connector began" if own[topic] else "no event was written"
        text = (
            f"topic {topic} does not exist: {what}, or the connector does not capture it, or is not running: {_REMEDY}"
        )
        yield Finding("warning", where, text)


def _held(instance: str, topic: str, spans: list[Span]) -> Iterator[Finding]:
    where = f"instances.{instance}.cdc"
    if not any(span.end for span in spans):
        text = f"topic {topic} is empty: nothing was ever written to it; is the connector running? {_REMEDY}"
        yield Finding("warning", where, text)
    lost = sum(
        span.begin - span.committed for span in spans if span.committed is not None and span.committed < span.begin
    )
    if lost:
        text = (
            f"topic {topic}: {lost} records expired before k2x read them. Bring what they told of by `k2x backfill run "
            f"--instance {instance} --since <the day before>`, and keep the topic longer (retention.ms)"
        )
        yield Finding("error", where, text)
