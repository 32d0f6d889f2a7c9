"""Signing in by the identity provider: on the way there, and back."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from accounts import arriving, confirming, factors, signing_in
from accounts.access import public, signed_in
from accounts.identities import Identity, provider_name
from integrations.oidc import flow
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest


@require_GET
@public
@login_not_required
def start(request: HttpRequest) -> HttpResponse:
    """On to the provider. Public, because nobody is signed in before; whoever is, shows again who they are."""
    if not provider_name():
        raise Http404
    user = request.user.pk if request.user.is_authenticated else None
    why = "confirm" if user else "sign in"
    try:
        return redirect(flow.begin(request.session, why=why, to=_next(request), user=user))
    except DomainError as trouble:
        return _refused(request, str(trouble), status=503)


@require_POST
@signed_in
def connect(request: OpsRequest) -> HttpResponse:
    """Say what connecting means, with the way to the provider: a link, because forms lead nowhere outside the desk."""
    if not provider_name() or Identity.objects.filter(user=request.user).exists():
        raise Http404
    asked = confirming.asked_first(request, what="connect your account")
    if asked is not None:
        return asked
    try:
        to = resolve_url("accounts:sessions")
        onward = flow.begin(request.session, why="connect", to=to, user=request.user.pk)
    except DomainError as trouble:
        return _refused(request, str(trouble), status=503)
    return render(request, "accounts/connect_page.html", {"provider": provider_name(), "onward": onward})


@require_GET
@public
@login_not_required
def back(request: HttpRequest) -> HttpResponse:
    """Back from the provider. Public, because nobody is signed in yet; it needs this browser's errand."""
    if not provider_name():
        raise Http404
    if request.GET.get("error"):
        # Not every provider says to which errand; nothing comes of it, whoever asked for it.
        return _refused(request, f"{provider_name().capitalize()} did not let you in.")
    try:
        errand = flow.take(request.session, request.GET)
        if errand.user != (request.user.pk if request.user.is_authenticated else None):
            raise flow.NotThem
        word = flow.word(errand, request.GET.get("code", ""))
    except flow.NotThem as odd:
        return _refused(request, str(odd))
    except DomainError as trouble:
        return _refused(request, str(trouble), status=503)
    return _ENDS[errand.why](request, errand, word)


def _sign_in(request: HttpRequest, errand: flow.Errand, word: flow.Word) -> HttpResponse:
    welcome = arriving.arrive(word.arrival)
    if welcome.user is None:
        return _refused(request, welcome.refusal)
    if factors.has_any(welcome.user):
        return signing_in.hold(request, welcome.user, how=provider_name(), to=errand.to)
    return signing_in.complete(request, welcome.user, how=provider_name(), to=errand.to, lately=word.lately)


def _connect(request: HttpRequest, errand: flow.Errand, word: flow.Word) -> HttpResponse:
    if not word.lately:
        return _refused(request, "The provider did not ask you who you are just now, so nothing was connected.")
    arrival = word.arrival
    refusal = arriving.connect(request.user, issuer=arrival.issuer, subject=arrival.subject)  # type: ignore[arg-type]
    if refusal:
        return _refused(request, refusal)
    messages.success(request, "Connected. From now on you sign in there.")
    return HttpResponseRedirect(errand.to)


def _confirm(request: HttpRequest, errand: flow.Errand, word: flow.Word) -> HttpResponse:
    own = Identity.objects.filter(
        user_id=request.user.pk or 0, issuer=word.arrival.issuer, subject=word.arrival.subject
    )
    if not word.lately or not own.exists():
        return _refused(request, "The provider did not show just now that it is you, so nothing was confirmed.")
    signing_in.note_confirmed(request, by_factor=False)
    messages.success(request, "You have shown who you are: go on with what you were about to do.")
    return HttpResponseRedirect(errand.to)


_ENDS: dict[str, Callable[[HttpRequest, flow.Errand, flow.Word], HttpResponse]] = {
    "sign in": _sign_in,
    "connect": _connect,
    "confirm": _confirm,
}


def _next(request: HttpRequest) -> str:
    wanted = request.GET.get("next", "")
    own = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if own and wanted.startswith("/") else resolve_url("home")


def _refused(request: HttpRequest, sentence: str, *, status: int = 403) -> HttpResponse:
    context = {"sentence": sentence, "provider": provider_name()}
    return render(request, "accounts/provider_refused_page.html", context, status=status)
