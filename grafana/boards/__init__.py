"""The seven pages, in the order in which one looks."""

from __future__ import annotations

from grafana.boards.business import BUSINESS
from grafana.boards.kafka_lag import KAFKA_LAG
from grafana.boards.overview import OVERVIEW
from grafana.boards.pipeline import PIPELINE
from grafana.boards.quality import QUALITY
from grafana.boards.store import PER_STORE
from grafana.boards.xero import XERO
from grafana.panel import Dashboard

BOARDS: tuple[Dashboard, ...] = (OVERVIEW, PIPELINE, XERO, KAFKA_LAG, QUALITY, BUSINESS, PER_STORE)
