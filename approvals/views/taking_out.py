"""Taking the evidence of a case out of the desk: as one file that can be checked, or as a page for paper."""

import json
from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from accounts.access import requires
from accounts.roles import Permission
from approvals.bundles import take_out
from approvals.views.evidence import open_file
from auditlog import bundles
from opsdesk.lib.requests import OpsRequest
from workflows.models import Case


@require_POST
@requires(Permission.READ_AUDIT)
def evidence(request: OpsRequest, pk: int) -> HttpResponse:
    """Hand out the evidence, and note who took it. A POST, because that note is written."""
    case = get_object_or_404(Case.objects.visible_to(request.membership).select_related("organization"), pk=pk)
    printed = request.POST.get("form") == "page"
    file = open_file(request.membership, pk)
    bundle = take_out(case, by=request.user, form="page" if printed else "file")
    if printed:
        return render(request, "approvals/evidence_page.html", {"case": case, "file": file, **_shown(bundle)})
    text = json.dumps(bundle, indent=1, ensure_ascii=False)
    response = HttpResponse(text, content_type="application/json; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="evidence-{str(case).lower()}.json"'
    return response


def _shown(bundle: bundles.Bundle) -> dict[str, Any]:
    """What the page says beyond the case's own file."""
    return {
        "bundle": bundle,
        "votes": [vote for review in bundle["reviews"] for vote in review["votes"]],
        "calls": [call for action in bundle["actions"] for call in action["calls"]],
        "unsealed": bundles.unsealed(bundle),
    }
