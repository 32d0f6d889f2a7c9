"""A new password for oneself."""

from typing import Any

from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth import views as auth_views
from django.db import transaction
from django.http import HttpResponse

from accounts import signing_in


class OwnPassword(auth_views.PasswordChangeView):
    """A new password for oneself, in the admin; that it was changed is recorded, and needs no further reason.

    All other sessions of the account end with it.
    """

    form_class = AdminPasswordChangeForm

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        signing_in.tell(form.user, "accounts.user.password_changed", reason="Changed by its owner.")
        return super().form_valid(form)
