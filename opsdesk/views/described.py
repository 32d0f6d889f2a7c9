"""The API, described: as a page for staff, and as OpenAPI for programs that write programs."""

from typing import Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import requires
from accounts.roles import Permission
from accounts.tokens import NEEDS
from opsdesk.api.desk import api, operations
from opsdesk.lib.requests import OpsRequest


@require_GET
@requires(Permission.CONFIGURE)
def index(request: OpsRequest) -> HttpResponse:
    """Every operation with what it needs."""
    rows = [
        {
            "method": method,
            "path": f"/api/v1{path.replace('int:', '')}",
            "words": (operation.__doc__ or "").strip(),
            "scope": operation.scope.value,
            "permission": NEEDS[operation.scope].label,
        }
        for method, path, operation in operations()
    ]
    return render(request, "opsdesk/api_page.html", {"rows": rows})


@require_GET
@requires(Permission.CONFIGURE)
def schema(request: OpsRequest) -> HttpResponse:
    """The description that tools read."""
    described: dict[str, Any] = api.get_openapi_schema(path_prefix="/api/v1/")
    return JsonResponse(described)
