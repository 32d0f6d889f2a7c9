"""Five-step runs on a desk of their own, run as a process: `prepare`, or `run COUNT`, which prints runs a second."""

import json
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import django
import yaml

django.setup()

from django.db.models import Max  # noqa: E402

from accounts.models import Organization  # noqa: E402
from approvals.policies import publish_bands  # noqa: E402
from benchmarks.steps import PACK, request_named  # noqa: E402
from opsdesk.demo import cast  # noqa: E402
from opsdesk.lib import queue  # noqa: E402
from workflows import checking  # noqa: E402
from workflows.models import Event, Run, WorkflowVersion  # noqa: E402
from workflows.publishing import publish_pack  # noqa: E402
from workflows.states import EventState, RunState, Tier  # noqa: E402

_PATIENCE_SECONDS, _SLOWEST = 180, 30  # the second: runs a second


def prepare() -> None:
    """Publish the workflow and its thresholds in the demonstration's organization."""
    publish({})


def publish(changes: Mapping[str, Any]) -> WorkflowVersion:
    """Publish the workflow with changes: another name and event, another priority."""
    organization = Organization.objects.get(slug=cast.ORGANIZATION)
    checking.GOES_BEFORE["decide"] = "note"  # here the facts come from that kind
    pack = {**yaml.safe_load(PACK.read_text(encoding="utf-8")), **changes}
    version = publish_pack(organization, pack, by=None, reason="To be measured.")
    publish_bands(version.workflow, {"GBP": [("0.00", Tier.INSTANT)]}, by=None, reason="To be measured.")
    return version


def event(organization: Organization, name: str, kind: str = "five.requested") -> Event:
    """An unsaved event that opens a case of this name."""
    return Event(
        organization=organization, source="bench", dedupe_key=name, reader="standard", body=request_named(name, kind),
        body_hash=name, state=EventState.RECEIVED,
    )  # fmt: skip


def feed(count: int) -> tuple[str, datetime]:
    """Store so many events and ring; gives the prefix of their cases, and the instant just before."""
    organization = Organization.objects.get(slug=cast.ORGANIZATION)
    prefix = uuid.uuid4().hex[:12]
    events = [event(organization, f"{prefix}x{number}") for number in range(count)]
    started = datetime.now(UTC)
    Event.objects.bulk_create(events, batch_size=1000)
    for _ in range(2):  # one for each worker; the beat would ring within two seconds
        queue.ring("workflows.tick")
        time.sleep(2 * queue.GATHER_SECONDS)
    return prefix, started


def run(count: int) -> float:
    """Feed so many events, let the workers run them to their end: runs a second, from the first row stored."""
    newest = Run.objects.aggregate(newest=Max("pk"))["newest"] or 0
    prefix, started = feed(count)
    ended = Run.objects.filter(pk__gt=newest, state=RunState.SUCCEEDED).order_by()
    end = time.monotonic() + max(_PATIENCE_SECONDS, count / _SLOWEST)
    while ended.count() < count:
        if time.monotonic() > end:
            stand = Run.objects.filter(pk__gt=newest).exclude(state=RunState.SUCCEEDED)
            raise RuntimeError(f"Runs stand at {list(stand.values_list('state', 'reason')[:5])}.")
        time.sleep(0.5)
    last = ended.filter(case__key__startswith=f"{prefix}x").aggregate(last=Max("ended_at"))["last"]
    return count / float((last - started).total_seconds())


if __name__ == "__main__":
    verb, *numbers = sys.argv[1:]
    if verb == "prepare":
        prepare()
    else:
        print(json.dumps(run(int(numbers[0]))))
