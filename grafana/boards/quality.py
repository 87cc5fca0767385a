"""Quality: what waits for a person, what waits by itself, what was left out, and whether the books agree."""

from __future__ import annotations

from grafana.boards.words import NO_FAULT, rate
from grafana.panel import Dashboard, Panel, Query, Row

ORG = 'org=~"$org"'

LETTERS = Row("Dead letters", (
    Panel("Open, by class", "They wait for a person: mapping (the rules), validation (Kentico), held (decide), "
          "conflict (look in Xero), auth, locked_period, uncertain, bug. `k2x dlt ls --class …`",
          "short", (Query(f'sum by (org, error_class) (k2x_dead_letters{{{ORG}, state="open"}})',
                          "{{org}} {{error_class}}"),)),
    Panel("Oldest open one", "Days old: somebody has forgotten it. `k2x dlt ls` shows the oldest first.", "s",
          (Query(f"time() - min by (org, error_class) (k2x_dead_letters_oldest_timestamp_seconds{{{ORG}}})",
                 "{{org}} {{error_class}}"),), steps=((3600, "red"),)),
    Panel("How all of them stand", "open ones wait for a person; sent_again for word of it; the rest is "
          "settled. `k2x dlt ls --all`.", "short",
          (Query(f"sum by (state) (k2x_dead_letters{{{ORG}}})", "{{state}}"),), kind="bargauge"),
    Panel("Written, by stage and class", "A step: something has changed, in the rules, in Kentico or in Xero.", "eps",
          (rate("k2x_streams_dead_letters_total", "", "agent, error_class", "streams {{agent}} {{error_class}}"),
           rate("k2x_sink_dead_letters_total", ORG, "error_class", "sink {{error_class}}"))),
    Panel("Share of orders that are refused or held", "Over 1 % for five minutes is an alert: see the runbook "
          "K2xDeadLetterShare.", "percentunit",
          (Query(f'sum by (org) (rate(k2x_results_total{{{ORG}, kind="order", outcome=~"REFUSED|HELD"}}'
                 f'[$__rate_interval])) / sum by (org) (rate(k2x_results_total{{{ORG}, kind="order"}}'
                 "[$__rate_interval]))", "{{org}}"),), maximum=1, steps=((0.01, "red"),)),
    Panel("Conflicts and uncertain ones", "Xero has another document of that number, or gives no answer that decides. "
          "A person looks in Xero; `k2x trace` tells the story.",
          "short", (Query(f'sum by (org, error_class) (k2x_dead_letters{{{ORG}, state="open", '
                          'error_class=~"conflict|uncertain"})', "{{org}} {{error_class}}", NO_FAULT),)),
))  # fmt: skip

WAITS = Row("Waiting, held, parked, suppressed", (
    Panel("Held for a decision", "Edited in Kentico after posting. `k2x dlt ls --class held`.", "short",
          (Query(f'sum by (org) (k2x_dead_letters{{{ORG}, state="open", error_class="held"}})', "{{org}}"),)),
    Panel("Waiting in the ledger", "They go on by themselves; `k2x trace` tells why one waits.", "short",
          (Query(f"sum by (org) (k2x_sink_waiting_documents{{{ORG}}})", "{{org}}"),)),
    Panel("Began to wait, by reason", "auth: `k2x xero status`. day_limit: used up. offline, no_answer, read_back: "
          "Xero is unwell.",
          "eps", (rate("k2x_results_total", f'{ORG}, outcome="WAITING"', "org, code", "{{org}} {{code}}", NO_FAULT),)),
    Panel("Parked records", "An organisation has no rules or no reference data: `k2x rules apply`, or start its sink.",
          "short", (Query(f"sum by (org) (k2x_streams_parked_records{{{ORG}}})", "{{org}}",
                          "the demo starts with rules and reference data"),)),
    Panel("Suppressed, by reason", "Left out on purpose: not paid yet, before the cut-over, already there. A reason "
          "that grows all at once: a status has lost its `paid` in Kentico.",
          "eps", (rate("k2x_results_total", f'{ORG}, outcome="SUPPRESSED"', "org, code", "{{org}} {{code}}"),)),
    Panel("Refused, by code", "The code says what to mend: `k2x dlt ls --code CODE`, and `k2x dlt redrive "
          "--code CODE` after it.", "eps",
          (rate("k2x_results_total", f'{ORG}, outcome=~"REFUSED|HELD"', "org, code", "{{org}} {{code}}"),)),
))  # fmt: skip

BOOKS = Row("Do the books agree? (the last `k2x reconcile`)", (
    Panel("Findings by kind", "Not 0: run `k2x reconcile`; each finding says what to do.", "short",
          (Query(f"sum by (org, kind) (max by (org, store, kind) (k2x_reconcile_findings{{{ORG}}}))",
                 "{{org}} {{kind}}"),), steps=((1, "red"),)),
    Panel("Since the last one", "Over 26 h: the nightly run did not end. See its log, or run `k2x reconcile`.", "s",
          (Query(f"time() - max by (org) (k2x_reconcile_timestamp_seconds{{{ORG}}})", "{{org}}"),),
          steps=((93600, "red"),)),
    Panel("Money: Xero less Kentico", "Of the orders reconciled, by store and currency. Not 0: open orders, or a "
          "finding.",
          "short", (Query(f'sum by (org, store, currency) (max without (instance) (k2x_reconcile_value{{{ORG}, '
                          'side="xero"})) - sum by (org, store, currency) (max without (instance) '
                          f'(k2x_reconcile_value{{{ORG}, side="kentico"}}))', "{{store}} {{currency}}"),),
          minimum=None),
))  # fmt: skip

WATCH = Row("The watcher itself", (
    Panel("Messages sent directly", "By channel and class, an hour. None while letters come: see `watch.notify`.",
          "short", (Query("sum by (channel, class) (increase(k2x_watch_notifications_total[1h]))",
                          "{{channel}} {{class}}"),)),
    Panel("Looks that failed", "Kafka does not answer, or a channel does not take messages; the log of `watch` says.",
          "short", (Query("sum by (part) (increase(k2x_watch_failures_total[1h]))", "{{part}}"),)),
))  # fmt: skip

QUALITY = Dashboard(
    "k2x-quality",
    "k2x · Quality",
    "What waits for a person, what waits by itself, what was left out, and whether the books agree.",
    (LETTERS, WAITS, BOOKS, WATCH),
)
