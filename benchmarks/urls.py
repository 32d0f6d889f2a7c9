"""The desk's addresses, and `/hooks/bare` beside the real intake: the same server, the same short way."""

from django.urls import include, path

from benchmarks.bare import insert_one_row

urlpatterns = [
    path("hooks/bare", insert_one_row),
    path("", include("opsdesk.urls")),
]
