"""Pipeline: every stage by rate, errors and duration, and the processes they run in."""

from __future__ import annotations

from grafana.boards.words import NO_CDC, NO_CONFIRM, NO_FAULT, NO_POLL, NO_REPLAY, p95, quantiles, rate
from grafana.panel import Dashboard, Panel, Query, Row

RECEIVER = Row("Receiver", (
    Panel("Requests by status", "202: accepted and on Kafka. 401: wrong secret or clock. 400: a field is wrong. 503: "
          "Kafka does not answer, the sender repeats.",
          "reqps", (rate("k2x_receiver_requests_total", "", "instance, route, status", "{{route}} {{status}}"),)),
    Panel("Events by kind", "Whole orders, or hints (change). A sender that goes quiet is seen here first.",
          "eps", (rate("k2x_receiver_events_total", "", "kind, outcome", "{{kind}} {{outcome}}"),)),
    Panel("Answer time", "Until the sender has its answer, Kafka's acknowledgement in it.", "s",
          quantiles("k2x_receiver_request_duration_seconds", "")),
    Panel("Bytes not yet acknowledged", "Bodies under way. Near the limit new requests get 429: Kafka is slow.",
          "bytes", (Query("sum(k2x_receiver_in_flight_bytes)", "bytes"),)),
    Panel("Records delivered at once", "How many requests share a delivery; grows with load, which is well.", "short",
          (p95("k2x_receiver_delivery_records", ""),)),
))  # fmt: skip

SOURCES = Row("Reader and poller", (
    Panel("Reader: objects by outcome", "retried: Kentico was half written or away. dead_letter: `k2x dlt ls`.",
          "eps", (rate("k2x_reader_objects_total", "", "instance, outcome", "{{instance}} {{outcome}}"),)),
    Panel("Reader: hint to delivery", "2 s of debounce in it. Slow: Kentico's REST service is.", "s",
          quantiles("k2x_reader_hint_age_seconds", "")),
    Panel("Reader: waiting objects", "Hints not read yet. Growing: the instance is away or slow.", "short",
          (Query("sum by (instance) (k2x_reader_pending_objects)", "{{instance}}"),)),
    Panel("REST: requests by outcome", "Anything but ok: Kentico's event log says why; the reader tries again "
          "by itself.", "reqps",
          (rate("k2x_kentico_rest_requests_total", "", "instance, outcome", "{{instance}} {{outcome}}"),)),
    Panel("REST: time of a request", "95 % of the requests. Slow: Kentico's web server or its database is; "
          "look there.", "s",
          (p95("k2x_kentico_rest_request_duration_seconds", "", "instance, method", "{{instance}} {{method}} p95"),)),
    Panel("Orders a batch", "How many orders one read brings; grows with load, which is well.", "short",
          (p95("k2x_reader_batch_orders", "", "instance", "{{instance}} p95"),)),
    Panel("REST away", "1 while an instance cannot be read: its orders wait on Kafka.", "none",
          (Query("max by (instance) (k2x_reader_outage)", "{{instance}} reader"),
           Query("max by (instance) (k2x_poller_outage)", "{{instance}} poller", NO_POLL)), maximum=1),
    Panel("Poller: objects by outcome", "What polling found changed. dead_letter: `k2x dlt ls`; retried: "
          "Kentico is away.", "eps",
          (rate("k2x_poller_objects_total", "", "instance, outcome", "{{instance}} {{outcome}}", NO_POLL),)),
    Panel("Change data capture: records by outcome", "dead_letter: `k2x dlt ls`. Nothing while Kentico is edited: see "
          "Debezium's connector, and the log of `cdc`.",
          "eps", (rate("k2x_cdc_records_total", "", "instance, outcome", "{{instance}} {{outcome}}", NO_CDC),)),
    Panel("Poller: since the last whole look", "Grows without end: the poller stands; its log says why, and a "
          "restart loses nothing.", "s",
          (Query("time() - max by (instance) (k2x_poller_current_timestamp_seconds)", "{{instance}}", NO_POLL),)),
))  # fmt: skip

STREAMS = Row("Streams", (
    Panel("Events by agent and outcome", "refused: dead letters. parked: an organisation is not ready.", "eps",
          (rate("k2x_streams_events_total", "", "agent, outcome", "{{agent}} {{outcome}}"),)),
    Panel("Batch time by agent", "From a batch's first event to Kafka's acknowledgement of all outputs.", "s",
          (p95("k2x_streams_batch_seconds", "", "agent", "{{agent}} p95"),)),
    Panel("Delivery time by agent", "Kafka's part of it. Most of the batch time: Kafka is the slow one.", "s",
          (p95("k2x_streams_delivery_seconds", "", "agent", "{{agent}} p95"),)),
    Panel("Transform time", "Of one order, the pure functions alone. Grows: a rule has become expensive.", "s",
          quantiles("k2x_streams_transform_seconds", "")),
    Panel("Events a batch", "Full batches (500): there is a backlog; a second worker halves it.", "short",
          (p95("k2x_streams_batch_events", "", "agent", "{{agent}} p95"),)),
    Panel("Organisations that are ready", "0: no rules or no reference snapshot, its orders are parked. `k2x rules "
          "apply`, or start the sink.", "none",
          (Query('min by (org) (k2x_streams_organisation_ready{org=~"$org"})', "{{org}}"),), maximum=1),
))  # fmt: skip

SINK = Row("Sink and write-back", (
    Panel("Documents by outcome", "Contacts, invoices, payments, refunds as Xero took them.", "eps",
          (rate("k2x_sink_documents_total", 'org=~"$org"', "kind, outcome", "{{kind}} {{outcome}}"),)),
    Panel("Arrival to PAID", "From the order's arrival at k2x. Slow: the minute of Xero is used up, or Xero "
          "is slow; see Xero.", "s",
          quantiles("k2x_order_latency_seconds", 'org=~"$org"')),
    Panel("Kafka transactions", "Time of one. Slow or aborted: the broker is busy or a rebalance is on.", "s",
          (p95("k2x_sink_transaction_seconds", 'org=~"$org"', "org", "{{org}} p95"),)),
    Panel("Aborted transactions", "Written again by themselves; many: the broker is unwell.", "eps",
          (rate("k2x_sink_aborted_transactions_total", 'org=~"$org"', "org", "{{org}}", NO_FAULT),)),
    Panel("Orders in memory", "Under way in each lane; 400 is full, which is a backlog and no fault.", "short",
          (Query('sum by (org) (k2x_sink_orders_in_memory{org=~"$org"})', "{{org}}"),)),
    Panel("Confirmations by outcome", "What other systems are told of orders. dead_letter: the target refuses; "
          "`k2x dlt ls`. Nothing while orders are posted: see the log of `confirm`.",
          "eps", (rate("k2x_confirmations_total", "", "target, outcome", "{{target}} {{outcome}}", NO_CONFIRM),)),
    Panel("Confirmations: time of a request", "95 % of the requests. Slow: the target is; it is asked a few at a time.",
          "s", (p95("k2x_confirm_request_duration_seconds", "", "target", "{{target}} p95", NO_CONFIRM),)),
    Panel("Targets that do not take what they are told", "1: the target is away; it is told later, nothing is lost.",
          "none", (Query("max by (target) (k2x_confirm_outage)", "{{target}}", NO_CONFIRM),), maximum=1),
    Panel("Write-backs by outcome", "retried: Kentico is away. dead_letter: a column is missing in Kentico.", "eps",
          (rate("k2x_writeback_orders_total", "", "instance, outcome", "{{instance}} {{outcome}}"),)),
))  # fmt: skip

PROCESSES = Row("Processes", (
    Panel("Answering", "1: Prometheus reads its metrics. 0: start it again.", "none",
          (Query('up{job="k2x"}', "{{process}} {{instance}}"),), maximum=1),
    Panel("CPU", "Seconds of CPU a second. A process at 1 is at its end: start a second one (streams, sink).", "short",
          (Query('rate(process_cpu_seconds_total{job="k2x"}[$__rate_interval])', "{{process}}"),)),
    Panel("Memory", "Resident. Over 250 MB and growing: report it, and restart the process.", "bytes",
          (Query('process_resident_memory_bytes{job="k2x"}', "{{process}}"),)),
    Panel("Open files", "Near the limit nothing can be opened any more: restart, and report it.", "short",
          (Query('process_open_fds{job="k2x"}', "{{process}}"),)),
    Panel("Rebalances", "Partitions that moved, per hour. Many: processes die and come back, see Answering.", "short",
          (Query("sum(increase(k2x_streams_rebalances_total[1h]))", "streams"),
           Query('sum(increase(k2x_sink_rebalances_total{event="assigned"}[1h]))', "sink"),
           Query("sum by (topic) (increase(k2x_kentico_rebalances_total[1h]))", "{{topic}}"))),
    Panel("Uptime", "A saw-tooth: the process dies again and again; its log says why.", "s",
          (Query('time() - process_start_time_seconds{job="k2x"}', "{{process}}"),)),
    Panel("Replayed results", "What the replay topics hold unread; only while a replay runs.", "short",
          (Query('sum(kafka_consumergroup_lag{topic=~"kentico[.].*-replay"})', "records", NO_REPLAY),)),
))  # fmt: skip

PIPELINE = Dashboard(
    "k2x-pipeline",
    "k2x · Pipeline",
    "Every stage by rate, errors and duration, and the processes.",
    (RECEIVER, SOURCES, STREAMS, SINK, PROCESSES),
)
