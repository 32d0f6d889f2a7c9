"""How tests of the desk's pages ask: as a browser does, and as htmx does."""

from typing import Any

from django.test import Client
from django.urls import reverse

from accounts.models import User
from approvals.models import ReasonCode, Review


def signed_in(user: User) -> Client:
    """A browser of its own in which the person is signed in."""
    client = Client()
    client.force_login(user)
    return client


def htmx(target: str = "opened") -> dict[str, Any]:
    """The headers htmx sends when a control swaps the element of that id."""
    return {"headers": {"HX-Request": "true", "HX-Target": target}}


def url(name: str, review: Review, query: str = "") -> str:
    """The address of an action on a review's case."""
    return reverse(f"approvals:{name}", args=[review.case_id]) + query


def decision(review: Review, verdict: str = "approve", **more: Any) -> dict[str, Any]:
    """What the decision form sends, with the reason it suggests."""
    code = ReasonCode.objects.filter(organization_id=review.organization_id, verdict=verdict).first()
    assert code is not None
    return {"verdict": verdict, f"reason_{verdict}": code.pk, "seen": review.content_hash, **more}
