"""The alert rules with all their times shortened, so that minutes are seconds. Pure; nothing else is changed."""

from __future__ import annotations

import re

import yaml

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WINDOW = re.compile(r"\[(\d+)([smhd])\]|offset (\d+)([smhd])")
_SECONDS = re.compile(r"([<>]) (\d{3,})\b")
_LONG = 900  # thresholds from a quarter of an hour up are ages; below it are numbers of things, and a minute's latency


# A lane that Xero keeps out knocks once a minute, however fast the rules are: their window must hold a minute.
_SLOWER = {"K2xAuthFailing": 4}


def faster(text: str, times: int = 20, ages: int = 60) -> str:
    """Windows and waits `times` as short, thresholds on ages `ages` as short."""
    document = yaml.safe_load(text)
    for group in document["groups"]:
        for rule in group["rules"]:
            by = _SLOWER.get(rule["alert"], times)
            rule["expr"] = _expression(rule["expr"], by, ages)
            for wait in ("for", "keep_firing_for"):
                if wait in rule:
                    rule[wait] = _shorter(*re.fullmatch(r"(\d+)([smhd])", rule[wait]).groups(), by)  # type: ignore[union-attr]
    return yaml.safe_dump(document, sort_keys=False)


def _expression(expr: str, times: int, ages: int) -> str:
    def window(match: re.Match[str]) -> str:
        if match[1]:
            return f"[{_shorter(match[1], match[2], times)}]"
        return f"offset {_shorter(match[3], match[4], times)}"

    def age(match: re.Match[str]) -> str:
        seconds = int(match[2])
        return f"{match[1]} {seconds // ages}" if seconds >= _LONG else match[0]

    return _SECONDS.sub(age, _WINDOW.sub(window, expr))


def _shorter(number: str, unit: str, times: int) -> str:
    return f"{max(1, int(number) * _UNITS[unit] // times)}s"
