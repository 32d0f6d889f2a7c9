"""One event a line: readable on a terminal, JSON where a machine reads it."""

import logging.config
import os
import sys
from typing import Any

import structlog


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
    renderer: Any = structlog.processors.JSONRenderer() if as_json else for_people
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
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
                        *([structlog.processors.format_exc_info] if as_json else []),
                        renderer,
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
                "rq.worker": {"level": "WARNING"},
                "pgtrigger": {"level": "WARNING"},
            },
        }
    )
