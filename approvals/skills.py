"""Who takes on what: asked when a case is given to somebody or taken as the next one, never when a vote is."""

from collections.abc import Sequence

from django.db.models import Q

from accounts.models import Membership, User
from approvals.models import Skill
from workflows.models import Case


def fitting(case: Case, people: Sequence[User]) -> list[User]:
    """Those of the people who take on such a case, in their order; all of them where none does."""
    rows = Skill.objects.filter(organization_id=case.organization_id, user__in=people, enabled=True)
    skills: dict[int, list[Skill]] = {}
    for skill in rows:
        skills.setdefault(skill.user_id, []).append(skill)
    fit = [user for user in people if user.pk not in skills or any(_fits(each, case) for each in skills[user.pk])]
    return fit or list(people)


def _fits(skill: Skill, case: Case) -> bool:
    pairs = ((skill.kind, case.kind), (skill.currency, case.currency), (skill.reason, case.reason))
    return all(wanted in ("", given) for wanted, given in pairs)


def taken_on_by(member: Membership) -> Q:
    """Reviews of cases this member takes on, and those that were given to them."""
    rows = list(Skill.objects.visible_to(member).filter(user=member.user_id, enabled=True))
    if not rows:
        return Q()
    found = Q(assignee=member.user_id)
    for skill in rows:
        wanted = {"kind": skill.kind, "currency": skill.currency, "reason": skill.reason}
        found |= Q(pk__isnull=False, **{f"case__{name}": value for name, value in wanted.items() if value})
    return found
