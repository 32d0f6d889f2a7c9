"""Every address of the desk."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("accounts.urls")),
    path("", include("integrations.urls")),
    path("admin/", admin.site.urls),
]
