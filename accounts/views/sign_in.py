"""The one door: signing in, by one thing or two, and out."""

from typing import Any

from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods, require_POST

from accounts import confirming, factors, guessing, identities, signing_in
from accounts.access import before_factor, public


@method_decorator(login_not_required, name="dispatch")
class SignIn(auth_views.LoginView):
    """The one page that everybody may see."""

    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True
    http_method_names = ["get", "head", "post", "options"]

    @method_decorator(transaction.atomic)
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Try a passkey; or a password, unless another try for the same account is under way."""
        if request.POST.get("passkey"):
            return self._by_passkey(request)
        if not guessing.has_turn(request, request.POST.get("username", "")):
            return guessing.refused(request)
        return super().post(request, *args, **kwargs)

    def get_success_url(self) -> str:
        """Where the person wanted to go; a piece of an address, or a word, is no page."""
        to = super().get_success_url()
        return to if to.startswith("/") else self.get_default_redirect_url()

    def form_valid(self, form: Any) -> HttpResponse:
        user, to = form.get_user(), self.get_success_url()
        if identities.signs_in_by_provider(user):
            return self._elsewhere()
        if factors.has_any(user):
            return signing_in.hold(self.request, user, how="password", to=to)
        return signing_in.complete(self.request, user, how="password", to=to)

    def _by_passkey(self, request: HttpRequest) -> HttpResponse:
        user = factors.use_passkey(request, request.POST["passkey"], None)
        if user is None:
            context = self.get_context_data(form=self.get_form_class()(request), passkey_refused=True)
            return self.render_to_response(context)
        if identities.signs_in_by_provider(user):
            return self._elsewhere()
        return signing_in.complete(request, user, how="passkey", to=self.get_success_url(), by_factor=True)

    def _elsewhere(self) -> HttpResponse:
        """The account is of somebody whom the provider lets in, or does not any more."""
        form = self.get_form_class()(self.request)
        return self.render_to_response(self.get_context_data(form=form, elsewhere=True), status=403)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        ways = {"passkeys_work": factors.passkeys_work(self.request), "provider": identities.provider_name()}
        return super().get_context_data(**ways, **kwargs)


sign_in = SignIn.as_view()
sign_in.permission = "public"  # type: ignore[attr-defined]


@require_http_methods(["GET", "POST"])
@public
@login_not_required
@transaction.atomic
def second_step(request: HttpRequest) -> HttpResponse:
    """The second of two things. Public, because nobody is signed in before; it leads nowhere without the first."""
    held = signing_in.held(request)
    if held is None or request.user.is_authenticated:
        return redirect("accounts:sign_in")
    refused = confirming.check(request, held.user) if request.method == "POST" else None
    if request.method == "POST" and refused is None:
        by = "passkey" if request.POST.get("passkey") else "code"
        how = f"{held.how} and {by}"
        return signing_in.complete(request, held.user, how=how, to=held.to, by_factor=True)
    if refused is not None and refused.status_code == 429:
        return refused
    with_passkey = factors.has_passkey(held.user) and factors.passkeys_work(request)
    context = {"wrong": refused is not None, "by_passkey": with_passkey}
    return render(request, "accounts/second_step_page.html", context, status=422 if refused else 200)


@require_POST
@public
@login_not_required
def passkey_options(request: HttpRequest) -> HttpResponse:
    """What a passkey is to sign: of whoever is signed in, or in the middle of it; else of anybody, who need not say."""
    held = signing_in.held(request)
    known = request.user if request.user.is_authenticated else held.user if held else None
    return JsonResponse(factors.passkey_options(known))


sign_out = auth_views.LogoutView.as_view()
sign_out.permission = "signed in"  # type: ignore[attr-defined]
before_factor(sign_out)
