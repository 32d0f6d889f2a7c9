"""Signing in and out."""

from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.utils.decorators import method_decorator


@method_decorator(login_not_required, name="dispatch")
class SignIn(auth_views.LoginView):
    """The one page that everybody may see."""

    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True


sign_in = SignIn.as_view()
sign_in.permission = "public"  # type: ignore[attr-defined]
sign_out = auth_views.LogoutView.as_view()
sign_out.permission = "signed in"  # type: ignore[attr-defined]
