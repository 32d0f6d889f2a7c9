"""The admin as a place of the desk: one sign-in, and open to members who may configure."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator

from accounts.roles import Permission


def may_configure(request: HttpRequest) -> bool:
    """Whether this person's role in the chosen organization carries the right to configure."""
    membership = getattr(request, "membership", None)
    return membership is not None and membership.may(Permission.CONFIGURE)


def may_keep_audit(request: HttpRequest) -> bool:
    """Whether this person sets how long records are kept, which may be all they see of the admin."""
    membership = getattr(request, "membership", None)
    return membership is not None and membership.may(Permission.KEEP_AUDIT)


def is_founding(request: HttpRequest) -> bool:
    """Whether a superuser who is nobody's member is setting up: they see organizations and memberships, no more."""
    return getattr(request, "membership", None) is None and bool(request.user.is_superuser)


class DeskAdminSite(AdminSite):
    """All configuration of one organization, for its admins."""

    site_header = "opsdesk"
    site_title = "opsdesk"
    index_title = "Configuration"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Active staff whose role lets them configure or keep the log, or whoever founds the first organization."""
        user = request.user
        may = may_configure(request) or may_keep_audit(request) or is_founding(request)
        return bool(user.is_active and user.is_staff) and may

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one door: the desk's own sign-in. Who is signed in and may not configure is told so."""
        from django.contrib.auth.views import redirect_to_login  # the models are not there when this file is read

        if self.has_permission(request):
            return redirect("admin:index")
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next", request.get_full_path()))

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """One's own password; as Django's page, but recorded."""
        from accounts.views.passwords import OwnPassword  # the models are not there when this file is read

        context = {**self.each_context(request), **(extra_context or {})}
        view = OwnPassword.as_view(
            success_url=reverse("admin:password_change_done"),
            template_name="registration/password_change_form.html",
            extra_context=context,
        )
        return view(request)


class DeskAdminConfig(AdminConfig):
    """Django's admin with our site as the default one."""

    default_site = "accounts.site.DeskAdminSite"
