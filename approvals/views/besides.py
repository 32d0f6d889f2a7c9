"""What may be done with a case besides deciding it: put it off, give it away, talk, answer for the requester."""

from dataclasses import dataclass, field
from functools import cached_property

from accounts.models import Membership, User
from accounts.roles import Permission
from approvals.models import Review
from approvals.snoozing import naps_of
from approvals.states import ReviewState
from approvals.views.evidence import CaseFile
from opsdesk.lib import clock
from workflows.states import Tier

_MOST_COLLEAGUES = 200


@dataclass
class Besides:
    """One person before one case. `link` is shown once; `comment` is one that was refused, and why."""

    file: CaseFile
    membership: Membership
    link: str = field(default="", kw_only=True)
    comment: str = field(default="", kw_only=True)
    comment_refused: str = field(default="", kw_only=True)

    @property
    def review(self) -> Review | None:
        return self.file.review

    @property
    def user(self) -> User:
        return self.membership.user

    @property
    def is_open(self) -> bool:
        return self.review is not None and self.review.state == ReviewState.OPEN

    @property
    def is_leaving(self) -> bool:
        """Whether the case goes out by itself unless somebody objects."""
        return self.is_open and self.review is not None and self.review.tier == Tier.FAST_TRACK

    @property
    def is_asleep(self) -> bool:
        """Whether somebody put it off and its time has not come."""
        until = self.review.snoozed_until if self.review is not None and self.is_open else None
        return until is not None and until > clock.now()

    @property
    def naps(self) -> list[tuple[str, str]]:
        """For how long it can be put off: lengths that end before it is due, and until then."""
        return naps_of(self.review) if self.review is not None else []

    @property
    def may_give(self) -> bool:
        """Managers give away anything open, others what is theirs or nobody's."""
        if self.review is None or not self.is_open:
            return False
        theirs = self.membership.may(Permission.DECIDE) and self.review.assignee_id in (None, self.user.pk)
        return theirs or self.membership.may(Permission.MANAGE)

    @cached_property
    def takers(self) -> list[tuple[str, str]]:
        """Colleagues who decide, and the teams of the organization; the service says who of them cannot have it."""
        people = [member.user for member in self._members if member.may(Permission.DECIDE)]
        teams = self.membership.organization.teams.order_by("name")
        return [(f"user-{user.pk}", str(user)) for user in people if user.pk != self.user.pk] + [
            (f"team-{team.pk}", f"Anybody in {team}") for team in teams
        ]

    @property
    def may_comment(self) -> bool:
        return self.membership.may(Permission.COMMENT)

    @property
    def may_take_evidence(self) -> bool:
        """Whoever may read the audit log takes evidence out of the desk."""
        return self.membership.may(Permission.READ_AUDIT)

    @property
    def colleagues(self) -> list[User]:
        """Whom a comment can name."""
        return [member.user for member in self._members]

    @cached_property
    def _members(self) -> list[Membership]:
        members = Membership.objects.active().filter(organization_id=self.membership.organization_id)
        return list(members.select_related("user").order_by("user__first_name", "user")[:_MOST_COLLEAGUES])

    @property
    def may_unask(self) -> bool:
        """Whether this person may go on without the answer, or make another link for it."""
        return self.file.question is not None and self.membership.may(Permission.DECIDE)

    @property
    def may_answer(self) -> bool:
        return self.file.question is not None and self.membership.may(Permission.ASK)
