"""Every address of the desk."""

from django.contrib import admin
from django.urls import include, path

from opsdesk.views import drills, health, home, metrics, search, stalled

urlpatterns = [
    # First, because webhooks are what comes most often.
    path("", include("integrations.urls")),
    path("", home.index, name="home"),
    path("stalled/", stalled.index, name="stalled"),
    path("reversals/", drills.index, name="reversals"),
    path("search/", search.search, name="search"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", include("accounts.urls")),
    path("", include("approvals.urls")),
    path("", include("workflows.urls")),
    path("", include("auditlog.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "opsdesk.views.errors.bad_request"
handler403 = "opsdesk.views.errors.permission_denied"
handler404 = "opsdesk.views.errors.page_not_found"
handler500 = "opsdesk.views.errors.server_error"
