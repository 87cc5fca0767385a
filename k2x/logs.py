"""Structured logs: one JSON line an event in processes, short lines for a person; secrets never get into an event."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# Libraries that speak too much for an operator: aiokafka floods the log while a broker is away (measured).
_QUIET = ("aiokafka", "faust", "mode", "urllib3", "httpx", "httpcore", "aiohttp.access")


def configure(stream: TextIO = sys.stdout, *, level: str = "info", **fixed: Any) -> None:
    """Set up structlog and the standard library's loggers. `fixed` fields stand on every line (process=…)."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**fixed)
    render: Any = (
        structlog.dev.ConsoleRenderer(colors=False) if stream.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=stream, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
