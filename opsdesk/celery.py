"""Celery: automations only. Every periodic entry of the desk stands here."""

import os
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun, worker_process_init
from kombu.entity import Queue

from opsdesk.lib.memory import spare_what_is_loaded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsdesk.settings")

app = Celery("opsdesk")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    result_backend=None,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=1_000,
    worker_hijack_root_logger=False,
    worker_soft_shutdown_timeout=20,
    worker_enable_soft_shutdown_on_idle=False,
    task_soft_time_limit=60,
    task_time_limit=90,
    task_default_queue="engine",
    # A worker consumes all of them unless it is started with -Q.
    task_queues=[Queue("engine"), Queue("actions")],
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_pool_limit=4,
    # Work lies in rows: a ring that nobody heard for a minute is repeated by the tick.
    task_routes={"integrations.*": {"queue": "actions"}},
    # Django closes its connection after each task unless told otherwise; reconnecting halves the rate.
    db_reuse_max=10_000,
    beat_max_loop_interval=5,
)
if str(app.conf.broker_url).startswith(("redis", "rediss")):
    app.conf.broker_transport_options = {
        "visibility_timeout": 300,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        **({"virtual_host": 1} if "+socket" in str(app.conf.broker_url) else {}),
    }
else:
    app.conf.broker_transport_options = {"confirm_publish": True}

app.conf.beat_schedule = {
    "look": {"task": "workflows.tick", "schedule": 2.0, "options": {"expires": 10}},
    "triggers": {"task": "workflows.fire_triggers", "schedule": 5.0, "options": {"expires": 15}},
    # As often as it takes to have the work of the dead taken up soon after their leases end.
    "sweep": {"task": "workflows.sweep", "schedule": 5.0, "options": {"expires": 10}},
    "tide": {"task": "workflows.tide", "schedule": 5.0, "options": {"expires": 10}},
    "actions": {"task": "integrations.send_due", "schedule": 2.0, "options": {"expires": 10}},
    "notices": {"task": "integrations.deliver_notices", "schedule": 5.0, "options": {"expires": 10}},
    "reconciliation": {"task": "integrations.reconcile", "schedule": 30.0, "options": {"expires": 60}},
    "reviews": {"task": "approvals.settle_due", "schedule": 1.0, "options": {"expires": 5}},
    "distribution": {"task": "approvals.give_out", "schedule": 5.0, "options": {"expires": 10}},
    "ladders": {"task": "approvals.climb_ladders", "schedule": 15.0, "options": {"expires": 30}},
    "trials": {"task": "approvals.wake_trials", "schedule": 30.0, "options": {"expires": 60}},
    # It looks whether a day has passed; the drill itself takes some seconds.
    "drill": {"task": "opsdesk.drill_reversals", "schedule": 30.0, "options": {"expires": 60}},
    "sign_ins": {"task": "opsdesk.forget_sign_ins", "schedule": 30.0, "options": {"expires": 60}},
    "seals": {"task": "auditlog.seal", "schedule": 10.0, "options": {"expires": 20}},
    "heads": {"task": "auditlog.hand_out", "schedule": 30.0, "options": {"expires": 60}},
    "verification": {"task": "auditlog.verify", "schedule": 30.0, "options": {"expires": 60}},
    "retention": {"task": "auditlog.retain", "schedule": 30.0, "options": {"expires": 60}},
    "exports": {"task": "opsdesk.keep_exports", "schedule": 30.0, "options": {"expires": 60}},
    # Beside the web processes, which look as well: one of them all has the turn.
    "watchdog": {"task": "opsdesk.watch", "schedule": 20.0, "options": {"expires": 30}},
}


@setup_logging.connect
def _log_as_the_desk_does(**kwargs: Any) -> None:
    """Keep Celery from installing handlers of its own: settings.LOGGING_CONFIG has already run."""


@worker_process_init.connect
def _spare_what_is_loaded(**kwargs: Any) -> None:
    """Each child of the worker begins with everything loaded."""
    spare_what_is_loaded()


@task_prerun.connect
def _say_which_task(task_id: str = "", task: Any = None, **kwargs: Any) -> None:
    """Every line and every audit entry of one task carries its id."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task_id=task_id, task=getattr(task, "name", ""))


@task_postrun.connect
def _say_it_no_more(**kwargs: Any) -> None:
    structlog.contextvars.clear_contextvars()


app.autodiscover_tasks()
app.autodiscover_tasks(["opsdesk.watch"], related_name="signals")
