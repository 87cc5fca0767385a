"""The demo's k2x.yaml: the two sandboxes as if they were Kentico and Xero, written out for a person to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.kentico.sandbox.server import default_credentials
from connectors.xero.sandbox.chart import demo_client_id, demo_client_secret
from k2x.shipped import rules_dir

ORGANISATIONS = ("uk", "au", "de")
TRADING = ("emea", "apac")  # the instances whose shops place orders by themselves
INSTANCES = {"emea": "Europe/London", "apac": "Australia/Sydney", "seed2021": "Europe/London"}
# rules/uk.yaml writes into these columns of GoatUK's orders; the other stores show the default, which is off.
WRITE_BACK = {"emea": ("OrderXeroInvoiceNumber", "OrderXeroInvoiceID", "OrderXeroStatus")}
STORES = {"emea/GoatUK": "uk", "emea/GoatDE": "de", "apac/GoatAU": "au", "seed2021/SeedUK": "uk"}

# Both sandboxes answer within milliseconds: a killed sink's successor need not wait production's minute and a half
# for the session to end (45 s) and for calls that may still be under way (30 + 60 s).
_SINK = {"session_timeout_s": 10.0, "intention_lapse_s": 5.0, "deadline_s": 15.0}


def deployment(bootstrap: str, ports: dict[str, int], directory: Path, speed: float) -> dict[str, Any]:
    """The configuration as plain data. `speed`: the sandbox's clock and the sink's budget run this much faster."""
    xero, kentico = f"http://127.0.0.1:{ports['xero']}", f"http://127.0.0.1:{ports['kentico']}"
    return {
        "data_dir": str(directory),
        "kafka": {"bootstrap": bootstrap},
        "xero": {
            "api_url": f"{xero}/api.xro/2.0",
            "token_url": f"{xero}/connect/token",
            "authorize_url": f"{xero}/connect/authorize",
            "connections_url": f"{xero}/connections",
            "budget": {"speed": speed},
            "sink": dict(_SINK),
        },
        "organisations": {
            org: {
                "client_id": demo_client_id(org),
                "client_secret_env": _variable("XERO", org, "SECRET"),
                "rules": str(rules_dir() / f"{org}.yaml"),
            }
            for org in ORGANISATIONS
        },
        "instances": {name: _instance(name, zone, kentico) for name, zone in INSTANCES.items()},
        "stores": {store: {"organisation": org} for store, org in STORES.items()},
        "ports": {
            "receiver": ports["receiver"],
            "metrics": {
                name.removesuffix("-metrics"): port for name, port in ports.items() if name.endswith("-metrics")
            },
        },
    }


def secrets() -> dict[str, str]:
    """The sandboxes' own, known to everybody: they guard nothing."""
    found = {_variable("XERO", org, "SECRET"): demo_client_secret(org) for org in ORGANISATIONS}
    for name in INSTANCES:
        credentials = default_credentials(name)
        found |= {
            _variable("KENTICO", name, "PASSWORD"): credentials.password,
            _variable("KENTICO", name, "WEBHOOK_SECRET"): credentials.webhook_secret,
            _variable("KENTICO", name, "HINT_TOKEN"): credentials.hint_token,
        }
    return found


def _instance(name: str, zone: str, kentico: str) -> dict[str, Any]:
    credentials = default_credentials(name)
    return {
        "time_zone": zone,
        "rest": {
            "url": f"{kentico}/{name}/rest",
            "user": credentials.user,
            "password_env": _variable("KENTICO", name, "PASSWORD"),
        },
        "webhook_secret_envs": [_variable("KENTICO", name, "WEBHOOK_SECRET")],
        "hint_token_env": _variable("KENTICO", name, "HINT_TOKEN"),
        "write_back_columns": list(WRITE_BACK.get(name, ())),
    }


def _variable(*parts: str) -> str:
    return "_".join(("DEMO", *parts)).upper()
