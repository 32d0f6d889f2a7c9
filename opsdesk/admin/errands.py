"""The page of RQ in the admin. The errands of every organization wait in one queue, so only superusers see it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django_rq.admin import QueueAdmin
from django_rq.models import Dashboard

admin.site.unregister(Dashboard)


@admin.register(Dashboard)
class ErrandsAdmin(QueueAdmin):
    """django-rq's own pages: they ask for staff, which an admin of any organization is."""

    def get_urls(self) -> list[URLPattern]:
        """The same addresses, each behind one more door."""
        found: list[URLPattern] = super().get_urls()  # type: ignore[no-untyped-call]
        for pattern in found:
            pattern.callback = _for_superusers(pattern.callback)
        return found


def _for_superusers(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_superuser:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded
