"""Errands of a desk, each done by a process of its own that may be told to kill itself at a crash point.

`python -m tests.chaos.errands DATABASE` loads the desk once and then reads one errand a line from its input: a process
is forked for it, works on the real database through the same doors that the web server and Celery use, and its end is
told in a line of the output. A fork costs little, so that every crash point can be tried with every change.
"""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any


def post(messages: list[list[str]]) -> None:
    """Deliver signed webhooks of the shop, each an id and a body; tells which were acknowledged."""
    from tests.integrations.senders import Sender, standard_headers
    from tests.plugins.line import SHOP_SECRET

    for path, message, text in messages:
        body = text.encode()
        reply = Sender(path).post(body, standard_headers(body, message=message, secret=SHOP_SECRET))
        if 200 <= reply.status < 300:
            tell({"acknowledged": message})


def work() -> None:
    """What a worker does, until nothing is due."""
    from approvals.tasks import settle_due
    from integrations.tasks import deliver_notices, send_due
    from workflows.tasks import sweep, tick

    while sweep() + tick() + send_due() + settle_due() + deliver_notices():
        pass


def vote(case_ids: list[int]) -> None:
    """Ben approves what is open of these cases, as he sees it now."""
    from accounts.models import User
    from approvals.models import Review
    from approvals.states import ReviewState
    from tests.plugins.line import vote as vote_on

    ben = User.objects.get(username="ben")
    for review in Review.objects.filter(case__in=case_ids, state=ReviewState.OPEN).order_by("pk"):
        vote_on(review, ben)


def object_to(case_ids: list[int]) -> None:
    """Ada objects to those of these cases that would leave by themselves."""
    from accounts.models import User
    from approvals import services
    from approvals.models import Review
    from approvals.states import ReviewState
    from workflows.states import Tier

    ada = User.objects.get(username="ada")
    for review in Review.objects.filter(case__in=case_ids, state=ReviewState.OPEN, tier=Tier.FAST_TRACK):
        services.object_to(review.pk, by=ada, text="This one should be looked at.")


def repair(case_ids: list[int]) -> None:
    """Maya has the failed runs of these cases tried again."""
    from accounts.models import User
    from workflows.engine import repairing
    from workflows.models import Run
    from workflows.states import RunState

    maya = User.objects.get(username="maya")
    for run in Run.objects.filter(case__in=case_ids, state=RunState.FAILED, case__state="failed").order_by("pk"):
        repairing.retry(run.pk, by=maya, reason="The worker was killed by a test.")


def carry(bulk_id: int) -> None:
    """What the jobs process does with a bulk."""
    from workflows.bulk import carrying

    carrying.carry_on(bulk_id)


ERRANDS: dict[str, Callable[..., None]] = {
    errand.__name__: errand for errand in (post, work, vote, object_to, repair, carry)
}


def tell(answer: dict[str, Any]) -> None:
    """One line for whoever gave the errand; written at once, because the next statement may be the last."""
    os.write(1, f"{json.dumps(answer)}\n".encode())


def _do(errand: str, arguments: list[Any], crash: str) -> int:
    """In a process of its own: its exit status."""
    from opsdesk.lib import crashing

    try:
        if crash:
            crashing.arm(crash)
        ERRANDS[errand](*arguments)
    except BaseException:  # noqa: BLE001 - the status says that there was one, the error output which
        traceback.print_exc()
        return 1
    return 0


def main(database: str) -> None:
    """Do the errands of the input until it ends."""
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    # Loaded here, so that no errand has to: the desk, its Celery, its web server's door.
    for module in ("opsdesk.celery", "opsdesk.urls", "tests.integrations.senders", "tests.plugins.line"):
        import_module(module)
    celery = import_module("opsdesk.celery").app
    celery.loader.import_default_modules()
    celery.finalize()
    assert celery.amqp and celery.events
    tell({"ready": True})
    for line in sys.stdin:
        wish = json.loads(line)
        child = os.fork()
        if not child:
            with contextlib.suppress(OSError):
                sys.stdin.close()
            os._exit(_do(wish["errand"], wish["arguments"], wish["crash"]))
        _, status = os.waitpid(child, 0)
        tell({"status": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main(sys.argv[1])
