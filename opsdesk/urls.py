"""Every address of the desk."""

from django.contrib import admin
from django.urls import include, path

from opsdesk import api
from opsdesk.views import cases, described, drills, exports, health, home, looks, metrics, saved_views, search, stalled

urlpatterns = [
    # First, because webhooks are what comes most often.
    path("", include("integrations.urls")),
    path("", home.index, name="home"),
    path("stalled/", stalled.index, name="stalled"),
    path("reversals/", drills.index, name="reversals"),
    path("search/", search.search, name="search"),
    path("cases/", cases.index, name="cases"),
    path("views/", saved_views.index, name="saved_views"),
    path("views/new/", saved_views.new, name="new_view"),
    path("views/save/", saved_views.save, name="save_view"),
    path("views/counts/", saved_views.counts, name="view_counts"),
    path("views/<int:pk>/change/", saved_views.change, name="change_view"),
    path("views/<int:pk>/delete/", saved_views.delete, name="delete_view"),
    path("views/<int:pk>/move/", saved_views.move, name="move_view"),
    path("lists/look/", looks.choose, name="choose_look"),
    path("exports/", exports.index, name="exports"),
    path("exports/new/", exports.new, name="new_export"),
    path("exports/ask/", exports.ask, name="ask_export"),
    path("exports/<int:pk>/", exports.show, name="export"),
    path("exports/<int:pk>/take/", exports.take, name="take_export"),
    path("exports/<int:pk>/remove/", exports.remove, name="remove_export"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", include("accounts.urls")),
    path("", include("approvals.urls")),
    path("", include("workflows.urls")),
    path("", include("auditlog.urls")),
    path("api/", described.index, name="api_index"),
    path("api/openapi.json", described.schema, name="api_schema"),
    path("api/v1/", api.urls()),
    path("admin/", admin.site.urls),
]

handler400 = "opsdesk.views.errors.bad_request"
handler403 = "opsdesk.views.errors.permission_denied"
handler404 = "opsdesk.views.errors.page_not_found"
handler500 = "opsdesk.views.errors.server_error"
