"""A faithful Xero on this machine: API, identity, limits, faults and books.

It judges the sink, so it imports nothing of ours.
"""

from connectors.xero.sandbox.accounting import Latency
from connectors.xero.sandbox.chart import Organisation, default_organisations, organisation, organisation_from
from connectors.xero.sandbox.clock import Clock
from connectors.xero.sandbox.limits import Limits
from connectors.xero.sandbox.server import Sandbox, SandboxSettings, serve

__all__ = [
    "Clock",
    "Latency",
    "Limits",
    "Organisation",
    "Sandbox",
    "SandboxSettings",
    "default_organisations",
    "organisation",
    "organisation_from",
    "serve",
]
