"""What happens when somebody has shown who they are, in whichever way."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import login
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.crypto import constant_time_compare

from accounts import guessing, journal, sessions
from accounts.models import Membership, User
from opsdesk.lib import clock

BACKEND = "django.contrib.auth.backends.ModelBackend"
# In the session: when its owner last showed who they are, and whether they did it with more than a password.
CONFIRMED, BY_FACTOR = "confirmed_at", "by_factor"
_HELD = "second_step_of"
_HELD_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody who has shown the first of two things, where they wanted to go, and by what they came."""

    user: User
    how: str
    to: str


def hold(request: HttpRequest, user: User, *, how: str, to: str) -> HttpResponse:
    """Ask for the second thing: nobody is signed in yet. The session gets a new key, in case another knows the old."""
    request.session.cycle_key()
    stamp = {"user": user.pk, "hash": user.get_session_auth_hash(), "at": clock.now().timestamp()}
    request.session[_HELD] = {**stamp, "how": how, "to": to}
    return redirect("accounts:second_step")


def held(request: HttpRequest) -> Held | None:
    """Who is in the middle of signing in here; nobody any more after five minutes, or when their standing changed."""
    kept = request.session.get(_HELD)
    if not kept or clock.now().timestamp() - kept["at"] > _HELD_FOR.total_seconds():
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True).first()
    if user is None or not constant_time_compare(user.get_session_auth_hash(), kept["hash"]):
        return None
    return Held(user, kept["how"], kept["to"])


@transaction.atomic
def complete(
    request: HttpRequest, user: User, *, how: str, to: str, by_factor: bool = False, lately: bool = True
) -> HttpResponse:
    """Open the session of `user` and go on to `to`; session key and form token are new from here on.

    `how` says by what: password, passkey, the provider's name. It stands in the audit log of each organization.
    `lately` is False where nobody showed anything just now: a provider remembers people for days.
    """
    login(request, user, backend=BACKEND)
    request.session[sessions.PLACE] = sessions.place_of(request)
    request.session.pop(_HELD, None)
    if lately:
        note_confirmed(request, by_factor=by_factor)
    guessing.forgive(request, user.get_username())
    tell(user, "accounts.user.signed_in", reason=f"Signed in by {how}.")
    response = HttpResponseRedirect(to)
    guessing.remember_device(request, response, user.get_username())
    return response


def note_confirmed(request: HttpRequest, *, by_factor: bool) -> None:
    """Take down that somebody has just shown who they are."""
    request.session[CONFIRMED] = clock.now().timestamp()
    request.session[BY_FACTOR] = by_factor or request.session.get(BY_FACTOR, False)


def tell(user: User, verb: str, *, reason: str, **details: Any) -> None:
    """Record what somebody did with their own account, in every organization that they work for."""
    for organization_id in Membership.objects.active().filter(user=user).values_list("organization_id", flat=True):
        journal.tell(
            verb,
            user=user,
            organization_id=organization_id,
            subject=("user", user.pk),
            reason=reason,
            before=details.get("before", {}),
            after=details.get("after", {}),
        )
