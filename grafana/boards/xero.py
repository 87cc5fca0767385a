"""Xero and budgets: what each organisation's calls are spent on, what is left, and what a lane waits for."""

from __future__ import annotations

from grafana.boards.words import NO_APP, NO_FAULT, NO_REBUILD, lane_state, lane_words, p95, rate
from grafana.panel import Dashboard, Panel, Query, Row

ORG = 'org=~"$org"'

STATE = Row("State", (
    Panel("Lane", "What the lane does. paused: see the wait beside it. failed: it is taken over again by itself, the "
          "log says why. LEDGER LOST: `k2x ledger rebuild`. refused: it is not in k2x.yaml.",
          "none", (Query(lane_state(ORG), "{{org}}"),), kind="stat", words=lane_words(),
          steps=((3, "yellow"), (5, "red"))),
    Panel("Pause", "How long the lane still waits, by reason. xero: Xero is away or does not let us in, see `k2x xero "
          "status`. day: the day's calls are used up, it goes on by itself.",
          "s", (Query(f"max by (org, reason) (k2x_sink_pause_seconds{{{ORG}}}) > 0", "{{org}} {{reason}}", NO_FAULT),)),
    Panel("What a write waits for", "1 for the reason of the moment. pace and minute are the everyday of a busy hour; "
          "blocked: Xero has answered 429.",
          "none", (Query(f"max by (org, reason) (k2x_xero_wait_reason{{{ORG}}}) > 0", "{{org}} {{reason}}",
                         "often nothing waits"),), maximum=1),
))  # fmt: skip

BUDGET = Row("Budget", (
    Panel("Day: calls left", "Of Xero's 1,000 or 5,000 a day. Below a tenth k2x spreads them over what is left of the "
          "day; turn on daily summaries, or ask Xero for more.",
          "short", (Query(f"k2x_xero_day_calls_remaining{{{ORG}}}", "{{org}}"),)),
    Panel("Day: share left", "The limit is `xero.budget.day` in k2x.yaml: set it to your plan's.", "percentunit",
          (Query(f'k2x_xero_day_calls_remaining{{{ORG}}} / on (org) k2x_xero_calls_limit{{window="day", {ORG}}}',
                 "{{org}}"),), maximum=1, steps=()),
    Panel("Minute: calls that may go now", "0 for long: the minute is used up, orders share calls and wait seconds.",
          "short", (Query(f"k2x_xero_minute_calls_remaining{{{ORG}}}", "{{org}}"),)),
    Panel("Calls in flight", "Xero takes 5 at a time. Always 5: answers are slow; see Time of a call.", "short",
          (Query(f"k2x_xero_calls_in_flight{{{ORG}}}", "{{org}}"),), maximum=5),
    Panel("Wait of a write", "How long a write would wait for the budget now. Hours: the day is used up, and "
          "goes on at the reset.", "s",
          (Query(f"k2x_xero_wait_seconds{{{ORG}}}", "{{org}}"),)),
    Panel("Sales invoices of 30 days", "As this sink posted them. Xero is made for about 1,000 a month: above, "
          "consider summary mode for the busiest stores.",
          "short", (Query(f"k2x_xero_sales_invoices_30d{{{ORG}}}", "{{org}}"),)),
    Panel("Answers 401", "Xero does not let us in: `k2x xero status` says why.", "reqps",
          (rate("k2x_xero_kept_out_total", ORG, "org", "{{org}}"),)),
    Panel("Answers 429", "Refused for their number: more than none means that another program shares this "
          "organisation's calls.",
          "reqps", (rate("k2x_xero_limited_total", ORG, "org", "{{org}}"),)),
))  # fmt: skip

CALLS = Row("Calls", (
    Panel("By purpose", "What the calls are for. read_back beside writes: answers were lost.", "reqps",
          (rate("k2x_xero_calls_total", ORG, "org, purpose", "{{org}} {{purpose}}"),)),
    Panel("By status", "401: Xero does not let us in. 5xx, timeout, dropped, unreadable: Xero is unwell, k2x reads "
          "back. 0: not connected.",
          "reqps", (rate("k2x_xero_calls_total", ORG, "org, status", "{{org}} {{status}}"),)),
    Panel("Calls per order", "Of the last hour. Three calls carry up to 50 orders each: 0.06 in a backlog, 3 for a "
          "lone order. Above 3: repeats and read-backs.",
          "short", (Query(f'sum by (org) (increase(k2x_xero_calls_total{{{ORG}, purpose!="reference"}}[1h])) / '
                          f'(sum by (org) (increase(k2x_sink_documents_total{{{ORG}, kind="order", outcome="POSTED"}}'
                          "[1h])) > 0)", "{{org}}"),)),
    Panel("Time of a call", "95 % of them. Over 10 s: Xero is slow; see status.xero.com.", "s",
          (p95("k2x_xero_call_seconds", ORG, "org, purpose", "{{org}} {{purpose}}"),)),
    Panel("Documents a write", "95 % of the writes. 50 is a full call: there is a backlog, which goes at "
          "Xero's pace.", "short",
          (p95("k2x_sink_batch_documents", ORG, "org, purpose", "{{org}} {{purpose}}"),)),
    Panel("Repeats under their own key", "Sent again because nobody knows what Xero did; nothing is posted twice. "
          "Many: the network or Xero is unwell.",
          "reqps", (rate("k2x_xero_repeated_calls_total", ORG, "org, purpose", "{{org}} {{purpose}}", NO_FAULT),)),
))  # fmt: skip

WORK = Row("Work in hand", (
    Panel("Backlog", "Commands not finished, and the age of the oldest beside it.", "short",
          (Query(f"k2x_backlog_commands{{{ORG}}}", "{{org}}"),)),
    Panel("Age of the oldest command", "Money that is not in the books yet. Over a minute: see Lane, Pause "
          "and Wait of a write.", "s",
          (Query(f"k2x_backlog_seconds{{{ORG}}}", "{{org}}"),)),
    Panel("Open intentions", "Documents said to be on their way to Xero, their answer not known yet. Seconds are well; "
          "minutes: see the runbook K2xIntentionsStuck.",
          "short", (Query(f"sum by (org) (k2x_sink_intended_entries{{{ORG}}})", "{{org}}"),)),
    Panel("Oldest intention", "Age. Over 10 minutes Xero gives no answer that decides.", "s",
          (Query(f"max by (org) (k2x_sink_oldest_intention_age_seconds{{{ORG}}})", "{{org}}"),),
          steps=((600, "red"),)),
    Panel("Waiting for a read-back", "Documents whose fate is looked up in Xero before they go on.", "short",
          (Query(f"sum by (org) (k2x_sink_read_backs_waiting{{{ORG}}})", "{{org}}"),)),
    Panel("Waiting in the ledger", "Orders kept in the ledger until they can go on; `k2x trace` tells why one waits.",
          "short", (Query(f"sum by (org) (k2x_sink_waiting_documents{{{ORG}}})", "{{org}}"),)),
))  # fmt: skip

ACCESS = Row("Access", (
    Panel("Access token", "Seconds until it ends. It is renewed on use, five minutes before.", "s",
          (Query(f"max by (org) (k2x_xero_access_token_expires_seconds{{{ORG}}})", "{{org}}"),)),
    Panel("Refresh token", "Ends after 60 days without use. Below a week: start the sink, or `k2x xero connect`.", "s",
          (Query("min by (app) (k2x_xero_refresh_token_expires_timestamp_seconds) - time()", "{{app}}", NO_APP),)),
    Panel("Ledger rebuild", "How far `k2x ledger rebuild` is, by phase. It stands: see the sink's log.", "short",
          (Query(f"k2x_ledger_rebuild_done{{{ORG}}}", "{{org}} {{phase}}", NO_REBUILD),)),
))  # fmt: skip

XERO = Dashboard(
    "k2x-xero",
    "k2x · Xero and budgets",
    "What each organisation's calls are spent on, what is left, and what a lane waits for.",
    (STATE, BUDGET, CALLS, WORK, ACCESS),
)
