"""Kafka lag: who is behind, by how much, and whether anybody is there."""

from __future__ import annotations

from grafana.panel import GROUP, Dashboard, Panel, Query, Row

G = 'consumergroup=~"$group"'

LAG = Row("Lag", (
    Panel("Records behind, by group and topic", "Growing for minutes: the group is slower than its source, or stands. "
          "See members, and the process's log.",
          "short", (Query(f"sum by (consumergroup, topic) (kafka_consumergroup_lag{{{G}}})",
                          "{{consumergroup}} {{topic}}"),), width=12, height=9),
    Panel("Seconds behind, by group and topic", "Age of the first record not yet committed: minutes are what people "
          "wait for, records are not.",
          "s", (Query(f"max by (consumergroup, topic) (k2x_consumergroup_lag_seconds{{{G}}})",
                      "{{consumergroup}} {{topic}}"),), width=12, height=9),
    Panel("Committed a second", "0 with lag: the group stands. Start its process, or read its log.", "ops",
          (Query(f"sum by (consumergroup) (rate(kafka_consumergroup_current_offset{{{G}}}[$__rate_interval]))",
                 "{{consumergroup}}"),)),
    Panel("Written a second", "By topic: what comes in. Nothing at an hour of trade: look at the receiver and "
          "at Kentico.", "ops",
          (Query("sum by (topic) (rate(kafka_topic_partition_current_offset[$__rate_interval])) > 0", "{{topic}}"),)),
    Panel("Members", "0: nobody reads for this group. `k2x run` its process.", "short",
          (Query(f"kafka_consumergroup_members{{{G}}}", "{{consumergroup}}"),), kind="stat",
          steps=()),
))  # fmt: skip

DETAIL = Row("By partition and organisation", (
    Panel("Each organisation's backlog", "Its command topic has one partition, so its lag is its backlog.", "short",
          (Query("k2x_backlog_commands", "{{org}}"),)),
    Panel("Partitions behind", "One partition alone behind: one key is very busy, or one record stops it.", "short",
          (Query(f"topk(20, kafka_consumergroup_lag{{{G}}} > 0)", "{{consumergroup}} {{topic}} {{partition}}",
                 "at rest nobody is behind"),)),
    Panel("Parked records", "They wait for an organisation's rules or reference data, and are fed by themselves.",
          "short", (Query("sum by (org, topic) (k2x_streams_parked_records)", "{{org}} {{topic}}",
                          "the demo starts with rules and reference data"),)),
    Panel("Records on the topics", "Everything kept: sources and dead letters never expire.", "short",
          (Query("sum by (topic) (kafka_topic_partition_current_offset - kafka_topic_partition_oldest_offset)",
                 "{{topic}}"),)),
    Panel("Age of the sample", "Over a minute: the process `watch` stands, and this page is out of date.", "s",
          (Query("time() - max(k2x_lag_sampled_timestamp_seconds)", "seconds"),), kind="stat",
          steps=((60, "red"),)),
    Panel("Brokers", "Fewer than there should be: a broker is down; start it before the next one goes.", "short",
          (Query("max(kafka_brokers)", "brokers"),), kind="stat"),
))  # fmt: skip

KAFKA_LAG = Dashboard(
    "k2x-kafka-lag",
    "k2x · Kafka lag",
    "Who is behind, by how much, and whether anybody is there.",
    (LAG, DETAIL),
    variables=(GROUP,),
)
