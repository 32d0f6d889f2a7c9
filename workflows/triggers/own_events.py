"""Events of the desk's own: a trigger that fires, or a step that starts a workflow, is one row, once a key.

The row is the proof that it fired once: `source` names the workflow and the trigger, `dedupe_key` the slot, the
crossing, the stay, the sent form or the step, and the two together are unique.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from opsdesk.lib import queue
from workflows.errors import Unreadable
from workflows.models import Event, Workflow
from workflows.registry import Begins, Reading

READER = "desk"


def source_of(workflow: Workflow, *, trigger: str) -> str:
    """Where the events of a trigger come from, as the screen of events names it."""
    return f"{workflow.organization.slug}/{workflow.slug}/{trigger}"[:100]


def tell(
    workflow: Workflow,
    *,
    trigger: str,
    kind: str,
    key: str,
    data: Mapping[str, Any],
    by: str,
    requester_id: int | None = None,
    parent_id: int | None = None,
) -> tuple[Event, bool]:
    """Store the event that begins a run, and whether it is a new one: a second one of the same key changes nothing.

    `data` is plain JSON: the workflow's fields are read from it. `by` says in words who or what began it.
    """
    content = {
        "type": f"desk.{kind}",
        "workflow": workflow.slug,
        "trigger": trigger,
        "by": by,
        "requester": requester_id,
        "parent": parent_id,
        "data": dict(data),
    }
    body = json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
    event, new = Event.objects.get_or_create(
        source=source_of(workflow, trigger=trigger),
        dedupe_key=key,
        defaults={
            "organization_id": workflow.organization_id,
            "reader": READER,
            "body": body,
            "body_hash": hashlib.sha256(body).hexdigest(),
        },
    )
    if new:
        queue.ring("workflows.tick")
    return event, new


def read(body: bytes) -> Reading:
    """Read what `tell` wrote. Raises Unreadable: the row was written by nobody of this desk."""
    try:
        content = json.loads(body)
        begins = Begins(content["workflow"], content["trigger"], content["by"], content["requester"], content["parent"])
        return Reading(content["type"], content["data"], begins=begins)
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable("This is no event of the desk's own.") from error
