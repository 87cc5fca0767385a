"""One store: its orders from Kentico to Xero."""

from __future__ import annotations

from grafana.boards.words import p95
from grafana.panel import ORG as ORGS
from grafana.panel import STORE, Dashboard, Panel, Query, Row

S = 'org=~"$org", store=~"$store"'

FLOW = Row("Orders", (
    Panel("PAID in Xero, last hour", "0 while the store sells: see Overview for the stage where it stops.", "short",
          (Query(f'sum by (store) (increase(k2x_business_documents_total{{{S}, kind="order"}}[1h]))', "{{store}}"),),
          kind="stat", decimals=0),
    Panel("Kentico → PAID, 95 %", "Of the last hour. Over a minute: see Xero and budgets.", "s",
          (Query(f"histogram_quantile(0.95, sum by (le, store) (increase(k2x_end_to_end_seconds_bucket{{{S}}}[1h])))",
                 "{{store}}"),), kind="stat", steps=((60, "yellow"), (300, "red"))),
    Panel("Since the last paid order", "Longer than the store is ever quiet: its webhook, or its shop, is broken. Send "
          "a test order.",
          "s", (Query(f'time() - max by (store) (timestamp(changes(k2x_end_to_end_seconds_count{{{S}}}[5m]) > 0))',
                      "{{store}}", "a store that has just stopped selling"),), kind="stat"),
    Panel("Way from Kentico to PAID", "95 % of its orders. Over a minute: see Xero and budgets, and Kentico's "
          "REST service.", "s",
          (p95("k2x_end_to_end_seconds", S, "store", "{{store}}"),), width=12),
    Panel("Orders a minute", "PAID in Xero. A fall at an hour of trade: see Overview for the stage where it "
          "stops.", "short",
          (Query(f'sum by (store) (rate(k2x_business_documents_total{{{S}, kind="order"}}[$__rate_interval])) * 60',
                 "{{store}}"),), width=12),
))  # fmt: skip

MONEY = Row("Money in the range shown", (
    Panel("By kind and currency", "Orders, invoices, payments, refunds of the store. Unlike each other for "
          "long: `k2x dlt ls --store`.", "short",
          (Query(f"sum by (store, kind, currency) (increase(k2x_business_value_total{{{S}}}[$__range]))",
                 "{{store}} {{kind}} {{currency}}"),), kind="bargauge", width=12, decimals=2),
    Panel("Tax", "In its orders' totals. None where there should be: see tax in the store's rules.", "short",
          (Query(f'sum by (store, currency) (increase(k2x_business_tax_total{{{S}, kind="order"}}[$__range]))',
                 "{{store}} {{currency}}"),), kind="bargauge", width=12, decimals=2),
    Panel("Findings of the last reconcile", "Not 0: `k2x reconcile --store instance/site`; each finding says "
          "what to do.", "short",
          (Query(f"max by (store, kind) (k2x_reconcile_findings{{{S}}})", "{{store}} {{kind}}"),), kind="bargauge",
          width=12, steps=((1, "red"),)),
    Panel("Orders by their end", "Of the last reconcile. dead_lettered and lost are a person's: `k2x dlt ls "
          "--store`.", "short",
          (Query(f"max by (store, state) (k2x_reconcile_orders{{{S}}})", "{{store}} {{state}}"),), kind="bargauge",
          width=12),
))  # fmt: skip

PER_STORE = Dashboard(
    "k2x-store",
    "k2x · Per store",
    "One store's orders from Kentico to Xero.",
    (FLOW, MONEY),
    variables=(ORGS, STORE),
    since="now-24h",
)
