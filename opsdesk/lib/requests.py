"""The request as our views see it."""

from typing import TYPE_CHECKING

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

if TYPE_CHECKING:
    from accounts.models import Membership, User


class OpsRequest(HttpRequest):
    """A request behind the sign-in: who, in which organization, and by which htmx control."""

    htmx: HtmxDetails
    user: "User"
    membership: "Membership"
    request_id: str
