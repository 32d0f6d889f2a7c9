"""Who and what the demonstration organization is made of: plain values, nothing else.

The secrets are here to be read: they open nothing but a demonstration on one's own machine.
"""

from dataclasses import dataclass

from accounts.roles import Role
from approvals.states import Verdict
from workflows.states import Tier

ORGANIZATION = "wholesale-uk"
ORGANIZATION_NAME = "Wholesale UK"
CURRENCY = "GBP"
TIME_ZONE = "Europe/London"
PASSWORD = "opsdesk"

GATEWAY_KEY = "sk_test_opsdesk_demo"
GATEWAY_WEBHOOK_SECRET = "whsec_b3BzZGVzay1kZW1vLWdhdGV3YXktc2VjcmV0"
SHOP_WEBHOOK_SECRET = "whsec_b3BzZGVzay1kZW1vLXNob3Atc2VjcmV0LTEyMzQ="


@dataclass(frozen=True, slots=True)
class Member:
    """One person with one account; `teams` are slugs."""

    username: str
    first_name: str
    last_name: str
    role: Role
    teams: tuple[str, ...] = ()
    manager: str = ""  # the username of the person above


CAST = (
    Member("ada", "Ada", "Okafor", Role.OPERATOR, ("refunds",), manager="maya"),
    Member("ben", "Ben", "Marsh", Role.OPERATOR, ("refunds",), manager="maya"),
    Member("maya", "Maya", "Nowak", Role.MANAGER, ("managers",)),
    Member("tomasz", "Tomasz", "Kowal", Role.ADMIN),
    Member("lena", "Lena", "Fischer", Role.ADMIN),
    Member("ines", "Ines", "Lindqvist", Role.AUDITOR),
)
TEAMS = {"refunds": "Refunds", "managers": "Managers"}


@dataclass(frozen=True, slots=True)
class TierOfDemo:
    """One tier: the amounts it is for (above, in pence), the team it asks, its times, and the rungs of its ladder."""

    tier: Tier
    above_minor: int
    team: str | None
    due_minutes: int = 240
    objection_minutes: int = 30
    rungs: tuple[tuple[int, str], ...] = ()
    second_opinion_percent: int = 0


# Conservative to begin with: six in ten requests are below the first limit, and some of those meet a rule.
TIERS = (
    TierOfDemo(Tier.INSTANT, 0, None),
    TierOfDemo(Tier.FAST_TRACK, 2_000, "managers", due_minutes=60, objection_minutes=10),
    TierOfDemo(
        Tier.FULL_REVIEW,
        10_000,
        "refunds",
        rungs=((120, "remind"), (180, "reassign"), (240, "manager")),
        second_opinion_percent=5,
    ),
)


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason a reviewer can give, and the requests' reasons for which it is offered first."""

    verdict: Verdict
    code: str
    label: str
    suggested_for: tuple[str, ...] = ()
    text_needed: bool = False


REASONS = (
    Reason(Verdict.APPROVE, "goods-returned", "Goods came back", ("returned",)),
    Reason(Verdict.APPROVE, "agreed-credit", "Credit was agreed", ("discount", "adjustment", "donation")),
    Reason(Verdict.APPROVE, "charged-wrongly", "Charged wrongly", ("postage", "fee", "samples")),
    Reason(Verdict.APPROVE, "goodwill", "Goodwill", text_needed=True),
    Reason(Verdict.REJECT, "never-bought", "Not bought from us", ("returned",)),
    Reason(Verdict.REJECT, "not-agreed", "No such credit was agreed", ("discount", "adjustment", "donation")),
    Reason(Verdict.REJECT, "no-proof", "Nothing shows it is owed", ("postage", "fee", "samples")),
    Reason(Verdict.REJECT, "other", "Another reason", text_needed=True),
)
