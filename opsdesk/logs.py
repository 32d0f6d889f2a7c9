"""One event a line: readable on a terminal, JSON where a machine reads it.

Every line carries the ids that are bound where it is written: request or task, run, case, action.
"""

import logging.config
import math
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# A line stays well below what pipes, journals and collectors take.
LONGEST_VALUE, LONGEST_TRACEBACK = 2_000, 8_000
_BREAKS = {code: f"\\x{code:02x}" for code in (*range(32), 0x7F, *range(0x80, 0xA0))} | {0x2028: " ", 0x2029: " "}
# A link that is a right by being known: whoever reads the log is not to have it.
_LINK = re.compile(r"(/answers/)[\w-]+")
Event = MutableMapping[str, Any]


def bounded(logger: Any, name: str, event: Event) -> Event:
    """Cut what is too long for a line, from where it says least; and say numbers that JSON does not know as words."""
    for key, value in event.items():
        if isinstance(value, float) and not math.isfinite(value):
            event[key] = str(value)
        elif isinstance(value, str) and key == "exception" and len(value) > LONGEST_TRACEBACK:
            event[key] = f"… {value[-LONGEST_TRACEBACK:]}"
        elif isinstance(value, str) and key != "exception" and len(value) > LONGEST_VALUE:
            event[key] = f"{value[:LONGEST_VALUE]}… ({len(value)} characters)"
        elif not isinstance(value, str | int | float | bool | type(None)) and key not in _OF_STRUCTLOG:
            event[key] = repr(value)[:LONGEST_VALUE]
    return event


def without_links(logger: Any, name: str, event: Event) -> Event:
    """Leave out of addresses what only the one who was sent it may know."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _LINK.sub(r"\1…", value)
    return event


_OF_STRUCTLOG = {"exc_info", "stack_info", "_record", "_from_structlog", "positional_args"}


def spelled_out(logger: Any, name: str, event: Event) -> Event:
    """On a terminal, text from outside neither breaks the line nor colours it."""
    for key, value in event.items():
        if isinstance(value, str) and key not in ("exception", "stack"):
            event[key] = value.translate(_BREAKS)
    return event


def configure(options: dict[str, Any]) -> None:
    """Set up structlog and send the standard library's records through the same renderer."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Machines read JSON, one line an event; people at a laptop read words.
    as_json = os.environ.get("OPSDESK_LOG_JSON", os.environ.get("OPSDESK_PRODUCTION")) == "1"
    # A plain traceback: the other kind prints every local value, secrets among them.
    for_people = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
    for_machines = [structlog.processors.format_exc_info, without_links, bounded, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(capture=True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *(for_machines if as_json else [without_links, bounded, spelled_out, for_people]),
                    ],
                }
            },
            "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["lines"], "level": options.get("level", "INFO")},
            "loggers": {
                # One line a request is the proxy's business; ours are refusals and errors.
                "django_structlog": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "celery.beat": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                # Rings that lay in the broker while no worker was there are thrown away one by one, as they should be.
                "celery.worker.request": {"level": "WARNING"},
                "rq.worker": {"level": "WARNING"},
                "pgtrigger": {"level": "WARNING"},
            },
        }
    )
