"""Business: sales, tax, refunds and payments in Xero, by store and currency; invoices against orders."""

from __future__ import annotations

from grafana.panel import ORG as ORGS
from grafana.panel import STORE, Dashboard, Panel, Query, Row

S = 'org=~"$org", store=~"$store"'


def money(metric: str, kind: str) -> str:
    return f'sum by (store, currency) (increase({metric}{{{S}, kind="{kind}"}}[$__range]))'


SALES = Row("Sales in the range shown, in units of each currency", (
    Panel("Sales by store and currency", "Totals of orders that are PAID in Xero, tax in them. To the cent is only "
          "`k2x reconcile`: this counts as it goes, and a restart may count some again.",
          "short", (Query(money("k2x_business_value_total", "order"), "{{store}} {{currency}}"),), kind="bargauge",
          decimals=2),
    Panel("Tax by store and currency", "The tax in those totals, as Xero computed it. None where there should "
          "be: see the rules' tax types.", "short",
          (Query(money("k2x_business_tax_total", "order"), "{{store}} {{currency}}"),), kind="bargauge", decimals=2),
    Panel("Refunds by store and currency", "Credit notes for money returned. More than Kentico shows: `k2x "
          "reconcile`.", "short",
          (Query(money("k2x_business_value_total", "credit_note"), "{{store}} {{currency}}"),), kind="bargauge",
          decimals=2),
    Panel("Sales an hour", "A store that sells at this hour and shows nothing: see Overview.", "short",
          (Query(f'sum by (store, currency) (increase(k2x_business_value_total{{{S}, kind="order"}}[1h]))',
                 "{{store}} {{currency}}"),), width=12),
    Panel("Orders an hour", "Orders PAID in Xero. 0 while the shop sells: see Overview for the stage where it "
          "stops.", "short",
          (Query(f'sum by (store) (increase(k2x_business_documents_total{{{S}, kind="order"}}[1h]))', "{{store}}"),),
          width=12),
))  # fmt: skip

CLEARING = Row("Invoices, payments and clearing", (
    Panel("Invoiced less paid", "Invoices in Xero less payments that k2x has entered for them, in the range shown. It "
          "returns to 0 within seconds; what stays is an invoice whose payment was refused: `k2x dlt ls`.",
          "short", (Query(f'{money("k2x_business_value_total", "invoice")} - '
                          f'{money("k2x_business_value_total", "payment")}', "{{store}} {{currency}}"),),
          kind="bargauge", decimals=2, minimum=None),
    Panel("Paid into bank and clearing accounts", "Payments that k2x has entered. Payouts and the gateways' fees take "
          "them out again: the row below.",
          "short", (Query(money("k2x_business_value_total", "payment"), "{{store}} {{currency}}"),), kind="bargauge",
          decimals=2),
    Panel("Average order", "Value of an order, last hour. Ten times as much: somebody has set a wrong price.", "short",
          (Query(f'sum by (store, currency) (increase(k2x_business_value_total{{{S}, kind="order"}}[1h])) / '
                 f'(sum by (store, currency) (increase(k2x_business_documents_total{{{S}, kind="order"}}[1h])) > 0)',
                 "{{store}} {{currency}}"),), decimals=2),
))  # fmt: skip

_NO_SETTLEMENTS = "the demo's shop sends no settlements"
_POSTED = 'org=~"$org"'
PAID_OUT = Row("Gateways: fees and payouts", (
    Panel("Fees and the like", "What gateways have withheld, as posted in the range shown: fees, adjustments, "
          "chargebacks. None though payouts come: see their lines, `k2x settlements show`.", "short",
          (Query(f'sum by (org, currency) (increase(k2x_business_value_total{{{_POSTED}, kind="bank_transaction"}}'
                 "[$__range]))", "{{org}} {{currency}}", _NO_SETTLEMENTS),), kind="bargauge", decimals=2),
    Panel("Paid out", "Transfers from clearing accounts to the bank, as posted in the range shown; each is a deposit "
          "on the bank's statement.", "short",
          (Query(f'sum by (org, currency) (increase(k2x_business_value_total{{{_POSTED}, kind="bank_transfer"}}'
                 "[$__range]))", "{{org}} {{currency}}", _NO_SETTLEMENTS),), kind="bargauge", decimals=2),
    Panel("Not paid out yet", "What clearing accounts held at the last `k2x reconcile`, in Xero. It returns to about "
          "a day's sales with each payout; what grows is a settlement that is missing: `k2x settlements ls`.", "short",
          (Query(f'max by (org, account) (k2x_reconcile_clearing{{{_POSTED}, side="xero"}})', "{{org}} {{account}}",
                 _NO_SETTLEMENTS),), kind="bargauge", decimals=2, minimum=None),
))  # fmt: skip

AGAINST = Row("Invoices against orders (the last `k2x reconcile`)", (
    Panel("Kentico", "Money of the orders that were reconciled, as Kentico says.", "short",
          (Query(f'max by (store, currency) (k2x_reconcile_value{{{S}, side="kentico"}})', "{{store}} {{currency}}"),),
          kind="bargauge", decimals=2),
    Panel("Xero", "Money of their invoices, as Xero has it. Unlike Kentico's: `k2x reconcile` names the orders.",
          "short", (Query(f'max by (store, currency) (k2x_reconcile_value{{{S}, side="xero"}})',
                          "{{store}} {{currency}}"),), kind="bargauge", decimals=2),
    Panel("Orders by their end", "posted, suppressed, dead-lettered, waiting, parked, on their way, lost.", "short",
          (Query(f"sum by (state) (max by (store, state) (k2x_reconcile_orders{{{S}}}))", "{{state}}"),),
          kind="bargauge"),
))  # fmt: skip

BUSINESS = Dashboard(
    "k2x-business",
    "k2x · Business",
    "Sales, tax, refunds and payments by store and currency; invoices against orders.",
    (SALES, CLEARING, PAID_OUT, AGAINST),
    variables=(ORGS, STORE),
    since="now-24h",
)
