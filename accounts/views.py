"""Signing in and out."""

from typing import Any

from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpResponse
from django.utils.decorators import method_decorator

from accounts import journal


@method_decorator(login_not_required, name="dispatch")
class SignIn(auth_views.LoginView):
    """The one page that everybody may see."""

    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True


sign_in = SignIn.as_view()
sign_in.permission = "public"  # type: ignore[attr-defined]
sign_out = auth_views.LogoutView.as_view()
sign_out.permission = "signed in"  # type: ignore[attr-defined]


class OwnPassword(auth_views.PasswordChangeView):
    """A new password for oneself, in the admin; that it was changed is recorded, and needs no further reason."""

    form_class = AdminPasswordChangeForm

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        user, membership = self.request.user, getattr(self.request, "membership", None)
        if membership is not None:
            journal.tell(
                "accounts.user.password_changed",
                user=user,
                organization_id=membership.organization_id,
                subject=("user", user.pk),
                reason="Changed by its owner.",
                before={},
                after={},
            )
        return super().form_valid(form)
