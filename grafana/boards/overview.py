"""Overview: is money flowing, and if not, where does it stop?"""

from __future__ import annotations

from grafana.boards.words import lane_state, lane_words, p95, rate
from grafana.panel import Dashboard, Panel, Query, Row

ORG = 'org=~"$org"'

NOW = Row("Now", (
    Panel("Orders paid in Xero, last hour",
          "Orders whose invoice is in Xero and wholly paid. 0 while the shop sells: look at the stages below from left "
          "to right, the first one without a rate is where it stops.",
          "short", (Query(f'sum(increase(k2x_business_documents_total{{{ORG}, kind="order"}}[1h]))'),),
          kind="stat", width=4, height=5, decimals=0),
    Panel("Kentico → PAID, 95 %",
          "Seconds from the change in Kentico that made an order a paid one to PAID in Xero, of the last hour. Above a "
          "minute: see Xero's budget (a used-up minute or day) and the backlog.",
          "s", (Query(f"histogram_quantile(0.95, sum by (le) (increase(k2x_end_to_end_seconds_bucket{{{ORG}}}[1h])))"),
               ),
          kind="stat", width=4, height=5, steps=((60, "yellow"), (300, "red"))),
    Panel("Commands waiting for Xero",
          "Commands that no sink has finished. Growing: the organisation is paused, its calls are used up, or no sink "
          "runs; the Xero page says which.",
          "short", (Query(f"sum(k2x_backlog_commands{{{ORG}}})"),), kind="stat", width=4, height=5,
          steps=((500, "yellow"), (5000, "red")), decimals=0),
    Panel("Open dead letters",
          "Orders that wait for a person. `k2x dlt ls` lists them, `k2x dlt show` says what to do.",
          "short", (Query(f'sum(k2x_dead_letters{{state="open", {ORG}}}) or vector(0)'),), kind="stat", width=4,
          height=5, steps=((1, "yellow"), (50, "red")), decimals=0),
    Panel("Off in the last reconcile",
          "Lost, doubled, drifted, unmatched and stuck orders of the last `k2x reconcile`. Not 0: run it again, each "
          "finding says what to do next.",
          "short", (Query(f"sum(max by (org, store, kind) (k2x_reconcile_findings{{{ORG}}}))"),), kind="stat", width=4,
          height=5, steps=((1, "red"),), decimals=0),
    Panel("Processes that do not answer",
          "Processes of k2x whose metrics Prometheus cannot read. Not 0: start them again, nothing is lost meanwhile.",
          "short", (Query('count(up{job="k2x"} == 0) or vector(0)'),), kind="stat", width=4, height=5,
          steps=((1, "red"),), decimals=0),
    Panel("Lanes", "What each organisation's lane does. Anything but running: see the Xero page of that organisation.",
          "none", (Query(lane_state(ORG), "{{org}}"),), kind="stat", width=12, height=4, words=lane_words(),
          steps=((3, "yellow"), (5, "red"))),
    Panel("Alerts that fire", "By name. Each has a page in docs/runbooks that begins with what to type.", "none",
          (Query('sum by (alertname, org) (ALERTS{alertstate="firing"})', "{{alertname}} {{org}}",
                 "nothing fires in a demo that goes well"),),
          kind="table", width=12, height=4),
))  # fmt: skip

FLOW = Row("Flow: rate by stage", (
    Panel("1 Receiver", "Events accepted, by kind and outcome. refused: a sender is wrong; see the receiver's log for "
          "the path. not_delivered: Kafka does not answer, senders repeat.",
          "eps", (rate("k2x_receiver_events_total", "", "outcome", "{{outcome}}"),), width=6),
    Panel("2 Reader", "Orders read again from Kentico after a hint. retried or dead_letter: Kentico's REST service "
          "refuses or is away; see the reader's log.",
          "eps", (rate("k2x_reader_objects_total", "", "outcome", "{{outcome}}"),), width=6),
    Panel("3 Streams", "Order versions by what became of them. refused: dead letters, see Quality. parked: an "
          "organisation has no rules or no reference data yet.",
          "eps", (rate("k2x_streams_events_total", 'agent="orders"', "outcome", "{{outcome}}"),), width=6),
    Panel("4 Sink", "Orders by outcome in Xero. REFUSED and HELD are dead letters, see Quality; WAITING goes on by "
          "itself.",
          "eps", (rate("k2x_sink_documents_total", f'{ORG}, kind="order"', "outcome", "{{outcome}}"),), width=6),
))  # fmt: skip

SLOW = Row("Duration and errors by stage", (
    Panel("Receiver: answer", "Until a sender has its answer. Slow: Kafka acknowledges late.", "s",
          (p95("k2x_receiver_request_duration_seconds", ""),), width=6),
    Panel("Reader: hint to order", "From a hint's arrival to the whole order on Kafka, 2 s of debounce in it. Slow: "
          "Kentico's REST service is.", "s", (p95("k2x_reader_hint_age_seconds", ""),), width=6),
    Panel("Streams: batch", "From a batch's first event to Kafka's acknowledgement of all its outputs. Slow: Kafka is, "
          "or the worker's CPU.", "s", (p95("k2x_streams_batch_seconds", 'agent="orders"'),), width=6),
    Panel("Sink: arrival to PAID", "Slow: calls wait for Xero's minute; see Xero and budgets.", "s",
          (p95("k2x_order_latency_seconds", ORG, "org", "{{org}}"),), width=6),
    Panel("Share of orders that end as dead letters",
          "Refused and held orders among all that came to an end. Over 1 %: one rule is missing for many; `k2x dlt ls` "
          "shows which.",
          "percentunit",
          (Query(f'sum by (org) (rate(k2x_results_total{{{ORG}, kind="order", outcome=~"REFUSED|HELD"}}'
                 f'[$__rate_interval])) / sum by (org) (rate(k2x_results_total{{{ORG}, kind="order", '
                 'outcome=~"REFUSED|HELD|POSTED|ADOPTED|SUPPRESSED"}[$__rate_interval]))', "{{org}}"),),
          width=12, steps=((0.01, "red"),), maximum=1),
    Panel("Day's calls left", "Share of Xero's calls of the day that is left. Below 10 % k2x spreads what is left over "
          "the day, and orders are later; see docs/runbooks/K2xDayBudgetLow.md.",
          "percentunit",
          (Query(f'k2x_xero_day_calls_remaining{{{ORG}}} / on (org) k2x_xero_calls_limit{{window="day", {ORG}}}',
                 "{{org}}"),), width=12, maximum=1),
))  # fmt: skip

OVERVIEW = Dashboard(
    "k2x-overview", "k2x · Overview", "Is money flowing, and if not, where does it stop?", (NOW, FLOW, SLOW)
)
