"""Pages beside very many cases, run as a process of the desk: `fill CASES OPEN`, or `measure`, which prints JSON.

One request after the other, as one person asks; the 95th percentile of each kind, in milliseconds at the client.
"""

import json
import random
import sys
from urllib.parse import quote, urlencode

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import QueryDict  # noqa: E402

from accounts.models import Membership  # noqa: E402
from approvals.models import ReasonCode, Review  # noqa: E402
from approvals.states import ReviewState, Verdict  # noqa: E402
from approvals.views.listing import Listing  # noqa: E402
from benchmarks import load  # noqa: E402
from benchmarks.figures import percentile  # noqa: E402
from benchmarks.visitors import signed_in  # noqa: E402
from workflows.models import Case  # noqa: E402

WARM_UPS, TIMES = 8, 40
FORM = {"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true", "HX-Target": "opened"}


def _p95(requests: list[bytes]) -> float:
    """Of requests that all must be answered with 2xx; the first ones only warm up."""
    answered = load.send(settings.WEB_PORT, requests, connections=1)
    assert answered.per_second > 0
    return percentile(answered.latencies[WARM_UPS:], 0.95)


def _searches(headers: dict[str, str]) -> list[bytes]:
    """What people know of a case. Where it names one case the answer only leads there, so a part of it is asked."""
    newest = Case.objects.order_by("-pk").values_list("pk", flat=True)[0]
    found = []
    for _ in range(WARM_UPS + TIMES // 4):
        case = Case.objects.filter(pk__lte=random.randint(1, newest)).order_by("-pk")[0]
        asked = [case.key[:-2], case.party_name, f"{case.amount.decimal}", f"{case.party_name} {case.reason}"]
        found += [load.get(f"/search/?q={quote(words)}", headers) for words in asked]
    return found


def _decisions(headers: dict[str, str]) -> list[bytes]:
    """One vote each on cases that nobody has decided, from the queue."""
    waiting = Review.objects.filter(state=ReviewState.OPEN, case__key__startswith="R").select_related("case")
    found = []
    for review in waiting.order_by("?")[: WARM_UPS + TIMES]:
        codes = ReasonCode.objects.filter(organization_id=review.organization_id, verdict=Verdict.APPROVE)
        code = codes.filter(text_needed=False)[0]
        form = {"verdict": "approve", "reason_approve": code.pk, "seen": review.content_hash}
        body = urlencode(form).encode()
        found.append(load.post(f"/cases/{review.case_id}/decide/?from=queue", body, {**headers, **FORM}))
    return found


def _news(headers: dict[str, str]) -> list[bytes]:
    """What an open queue asks every other second: what became of the cases it shows."""
    shown = Listing(Membership.objects.get(user__username="ada"), QueryDict()).shown
    return [load.get(f"/queue/news/?full=1&shown={shown}", headers)] * (WARM_UPS + TIMES)


def measure() -> dict[str, float]:
    """Milliseconds of the queue, of the news it asks for, of searches, of opening a case, and of deciding."""
    headers = signed_in("ada")
    cases = Review.objects.filter(state=ReviewState.OPEN).order_by("?").values_list("case_id", flat=True)
    pages = ["/queue/", "/queue/?view=mine", "/queue/?view=late", "/queue/?reason=returned"]
    many = [load.get(pages[number % len(pages)], headers) for number in range(WARM_UPS + TIMES)]
    return {
        "page": _p95(many),
        "news": _p95(_news(headers)),
        "search": _p95(_searches(headers)),
        "open": _p95([load.get(f"/cases/{pk}/", headers) for pk in cases[: WARM_UPS + TIMES]]),
        "decide": _p95(_decisions(headers)),
    }


if __name__ == "__main__":
    verb, *numbers = sys.argv[1:]
    if verb == "fill":
        call_command("load_many", "--cases", numbers[0], "--open", numbers[1], stdout=sys.stderr)
    else:
        print(json.dumps(measure()))
