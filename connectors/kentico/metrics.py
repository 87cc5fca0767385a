"""What the Kentico processes count. Labels are instances, types and outcomes, never an order or a person."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

RECEIVER_EVENTS = Counter(
    "k2x_receiver_events", "Events by what became of them", ["instance", "kind", "outcome"]
)  # kind: order, customer, product, change, settlement; outcome: accepted, downgraded, refused, not_delivered
RECEIVER_REQUESTS = Counter(
    "k2x_receiver_requests", "Requests by route and HTTP status", ["instance", "route", "status"]
)
RECEIVER_SECONDS = Histogram(
    "k2x_receiver_request_duration_seconds", "From the first byte to the answer", ["route"], buckets=_SECONDS
)
RECEIVER_IN_FLIGHT = Gauge("k2x_receiver_in_flight_bytes", "Bodies not yet acknowledged by Kafka")
RECEIVER_DELIVERY = Histogram(
    "k2x_receiver_delivery_records", "Records delivered at once", buckets=(1, 5, 10, 50, 100, 500, 1000, 5000)
)

REBALANCES = Counter(
    "k2x_kentico_rebalances", "Times that partitions of a topic came to this process or left", ["topic"]
)

REST_REQUESTS = Counter(
    "k2x_kentico_rest_requests", "Attempts by object type and outcome", ["instance", "method", "object_type", "outcome"]
)
REST_SECONDS = Histogram(
    "k2x_kentico_rest_request_duration_seconds", "Of one attempt", ["instance", "method"], buckets=_SECONDS
)

READER_OUTCOMES = Counter(
    "k2x_reader_objects", "Changed objects by what became of them", ["instance", "object_type", "outcome"]
)  # outcome: delivered, unchanged, deleted, dead_letter, retried
READER_BATCH = Histogram(
    "k2x_reader_batch_orders", "Orders read at once", ["instance"], buckets=(1, 2, 5, 10, 25, 50, 75, 100)
)
READER_BATCH_REQUESTS = Histogram(
    "k2x_reader_batch_requests",
    "REST requests of one batch, lookups apart",
    ["instance"],
    buckets=(1, 3, 5, 6, 7, 8, 10, 15),
)
READER_BATCH_SECONDS = Histogram(
    "k2x_reader_batch_duration_seconds", "Reading one batch by REST", ["instance"], buckets=_SECONDS
)
READER_LATENCY = Histogram(
    "k2x_reader_hint_age_seconds", "From the first hint's acceptance to the delivery", ["instance"], buckets=_SECONDS
)
READER_PENDING = Gauge("k2x_reader_pending_objects", "Changed objects waiting to be read", ["instance"])
READER_OUTAGE = Gauge("k2x_reader_outage", "1 while the instance's REST service cannot be read", ["instance"])

POLLER_OBJECTS = Counter(
    "k2x_poller_objects",
    "Objects that polling found changed, by what became of them",
    ["instance", "object_type", "outcome"],
)  # outcome: delivered, unchanged, deleted, gone, dead_letter, retried, stock_only
POLLER_ROWS = Counter("k2x_poller_rows", "Rows that polling looked at", ["instance", "object_type"])
POLLER_CYCLES = Counter("k2x_poller_cycles", "Looks through all tables", ["instance", "outcome"])  # done, failed
POLLER_CURRENT = Gauge("k2x_poller_current_timestamp_seconds", "When the last look was complete", ["instance"])
POLLER_OUTAGE = Gauge("k2x_poller_outage", "1 while the instance cannot be polled", ["instance"])
POLLER_LEFT_OUT = Gauge(
    "k2x_poller_left_out", "1 for a table that may not be read, or a sweep that is not believed", ["instance", "what"]
)

CDC_RECORDS = Counter(
    "k2x_cdc_records", "Records of Debezium's topics by what became of them", ["instance", "table", "outcome"]
)  # outcome: hint, event, tombstone, snapshot, stock_only, written_back, new_customer, deleted, dead_letter
CDC_OUTAGE = Gauge("k2x_cdc_outage", "1 while nothing can be taken on: Kafka or the schema registry does not answer")

WRITEBACK_OUTCOMES = Counter(
    "k2x_writeback_orders", "Write-backs by what became of them", ["instance", "outcome"]
)  # outcome: written, equal, off, dead_letter, retried
