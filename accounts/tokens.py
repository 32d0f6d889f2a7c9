"""Tokens for programs: hashed, scoped, expiring, shown once, revoked at once, and never more than their account may.

A token belongs to an account of whoever makes it. A service account is a further account of the person who answers
for it, with a role of its own: consent is counted in people, so it is one person with its owner.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.roles import Permission
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import Money

PREFIX = "desk_"
LONGEST_DAYS = 365


class Scope(models.TextChoices):
    """What a token is for. The account's role must allow it as well."""

    CASES_READ = "cases:read", "see cases and runs"
    CASES_CREATE = "cases:create", "open cases by the declared forms"
    REVIEWS_READ = "reviews:read", "see reviews"
    REVIEWS_DECIDE = "reviews:decide", "vote on reviews, up to the token's ceiling"
    QUESTIONS_ANSWER = "questions:answer", "answer questions about cases"


NEEDS: dict[Scope, Permission] = {
    Scope.CASES_READ: Permission.SEE_DESK,
    Scope.CASES_CREATE: Permission.ASK,
    Scope.REVIEWS_READ: Permission.SEE_DESK,
    Scope.REVIEWS_DECIDE: Permission.DECIDE,
    Scope.QUESTIONS_ANSWER: Permission.DECIDE,
}


class TokenRefused(DomainError):
    """No such token can be made."""


class TokenQuerySet(models.QuerySet["ApiToken"]):
    """Tokens."""

    def visible_to(self, membership: Any) -> Self:
        """Those of one's own accounts in the organization."""
        own = Q(membership__user_id=membership.user_id)
        if membership.user.person_id is not None:
            own |= Q(membership__user__person_id=membership.user.person_id)
        return self.filter(own, membership__organization_id=membership.organization_id)

    def live(self) -> Self:
        """Those that open something now: of accounts and memberships that are in force."""
        in_force = Q(membership__ended_at=None, membership__user__is_active=True)
        return self.filter(in_force, revoked_at=None, expires_at__gt=clock.now())


class ApiToken(models.Model):
    """What a program shows in place of a password."""

    membership = models.ForeignKey("accounts.Membership", on_delete=models.PROTECT, related_name="tokens")
    name = models.CharField(max_length=60, help_text="What it is for, for whoever reads the list.")
    start = models.CharField(max_length=12, help_text="Its first characters, to tell it by.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, which is kept nowhere.")
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope.choices))
    ceiling_minor = models.PositiveBigIntegerField(
        null=True, help_text="It approves at most this, in the smallest unit of the organization's currency."
    )
    made_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    minute = models.DateTimeField(null=True, help_text="The minute in which calls are counted.")
    calls = models.PositiveIntegerField(db_default=0, help_text="Calls in that minute.")

    objects: ClassVar[TokenQuerySet] = TokenQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(name="accounts_apitoken_is_for_something", condition=~Q(scopes=[])),
            models.CheckConstraint(
                name="accounts_apitoken_ends_within_a_year",
                condition=Q(
                    expires_at__gt=F("made_at"), expires_at__lte=F("made_at") + timedelta(days=LONGEST_DAYS + 1)
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"token {self.name} ({self.start}…)"

    def lets(self, scope: Scope) -> bool:
        """Whether token and role both allow it."""
        return scope in self.scopes and bool(self.membership.may(NEEDS[scope]))

    def approves(self, amount: Money | None) -> bool:
        """Whether so much is within its ceiling; without one it approves no money."""
        if amount is None:
            return True
        same = amount.currency == self.membership.organization.currency
        return self.ceiling_minor is not None and same and amount.minor <= self.ceiling_minor


def digest_of(text: str) -> str:
    """What is kept of a token: it is random and long, so a plain hash is enough."""
    return hashlib.sha256(text.encode()).hexdigest()


@transaction.atomic
def make(
    membership: Any, *, by: Any, name: str, scopes: list[str], days: int, ceiling: int | None = None
) -> tuple[ApiToken, str]:
    """Make a token for one of the maker's own accounts; the text is given this once. Raises TokenRefused."""
    from accounts import signing_in  # the models of people are made of this module

    if not (membership.user_id == by.pk or membership.user.same_person_as(by)):
        raise TokenRefused("A token is made by the person whose account it is.")
    unknown = [scope for scope in scopes if scope not in Scope.values or not membership.may(NEEDS[Scope(scope)])]
    if unknown or not scopes:
        raise TokenRefused(
            f"The role {membership.get_role_display()} does not allow {', '.join(unknown)}."
            if unknown
            else "Choose what it is for."
        )
    if not 1 <= days <= LONGEST_DAYS:
        raise TokenRefused(f"A token lasts 1 to {LONGEST_DAYS} days.")
    text = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        membership=membership,
        name=name,
        start=text[:10],
        digest=digest_of(text),
        scopes=sorted(set(scopes)),
        ceiling_minor=ceiling,
        expires_at=clock.now() + timedelta(days=days),
    )
    after = {"name": name, "for": membership.user.get_username(), "scopes": token.scopes, "days": days}
    signing_in.tell(by, "accounts.user.token_made", reason=f"Made {token}.", after={**after, "ceiling": ceiling})
    return token, text


@transaction.atomic
def revoke(token: ApiToken, *, by: Any) -> bool:
    """End a token, from the next call on; False when it had ended before."""
    from accounts import signing_in

    if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=clock.now()):
        return False
    signing_in.tell(by, "accounts.user.token_revoked", reason=f"Revoked {token}.", before={"name": token.name})
    return True


def known(text: str) -> ApiToken | None:
    """The token in force that this is the text of."""
    if not text.startswith(PREFIX) or len(text) > 100:
        return None
    found = ApiToken.objects.live().filter(digest=digest_of(text))
    return found.select_related("membership__organization", "membership__user").first()


_COUNT = """
    UPDATE accounts_apitoken SET last_used_at = now(),
        calls = CASE WHEN minute = date_trunc('minute', now()) THEN calls + 1 ELSE 1 END,
        minute = date_trunc('minute', now())
    WHERE id = %s RETURNING calls
"""


def is_within_rate(token: ApiToken) -> bool:
    """Count a call; whether it is among those that a token may make within a minute, whichever process is asked."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [token.pk])
        return bool(cursor.fetchone()[0] <= settings.API_CALLS_A_MINUTE)
