"""What gunicorn is to know of the desk, wherever it is started from this folder."""

import os
from typing import Any

from gunicorn.glogging import Logger

from opsdesk import logs

# Time-outs of the database are short where a person or a sender waits; see opsdesk/lib/servers.py.
os.environ["OPSDESK_PROCESS"] = "web"
# Before Django is there: what the master says is one event a line as well.
logs.configure({"level": os.environ.get("OPSDESK_LOG_LEVEL", "INFO")})


class Lines(Logger):
    """Gunicorn's own events, in the desk's log."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn does, but without handlers of its own."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True


logger_class = Lines
worker_class = "opsdesk.serving.PunctualThreads"


def post_worker_init(worker: Any) -> None:
    """Each web process says that it lives and whom it turned away, and takes its turn as watchdog."""
    from django.urls import get_resolver

    from opsdesk.lib.memory import spare_what_is_loaded
    from opsdesk.models import HeartbeatKind
    from opsdesk.watch.heartbeats import Pulse
    from opsdesk.watch.refusals import Tally
    from opsdesk.watch.watchdog import look

    tally = Tally(worker.lanes)

    def then() -> None:
        tally.write()
        look()

    worker.desk_pulse = Pulse(HeartbeatKind.WEB, then=then).start()
    _ = get_resolver().url_patterns  # every page's module
    spare_what_is_loaded()


def worker_exit(server: Any, worker: Any) -> None:
    """It was asked to end: nobody is to miss it."""
    pulse = getattr(worker, "desk_pulse", None)
    if pulse is not None:
        pulse.stop()
