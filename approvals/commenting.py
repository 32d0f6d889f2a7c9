"""Comments on a case. Who is named in one, as @user.name, is told."""

import re

from django.db import transaction
from django.urls import reverse

from accounts.models import Membership, User
from approvals.errors import NothingSaid
from approvals.models import Comment
from approvals.models.comments import LONGEST_COMMENT
from auditlog.services import Actor, record
from integrations import notices
from workflows import cases

# After a letter it is part of an address, and names nobody.
_NAMED = re.compile(r"(?<![\w@.])@([\w][\w.+-]*)")
MOST_NAMED = 20


@transaction.atomic
def comment(case_id: int, *, by: User, text: str) -> Comment:
    """Say something about a case and tell those it names. Raises NothingSaid, also for a name that nobody has."""
    case = cases.locked(case_id)
    text = text.replace("\x00", "").strip()
    if not text:
        raise NothingSaid("Write something.")
    if len(text) > LONGEST_COMMENT:
        raise NothingSaid(f"A comment has at most {LONGEST_COMMENT:,} characters.")
    people = named_in(text, case.organization_id)
    row = Comment.objects.create(organization_id=case.organization_id, case=case, author=by, text=text)
    row.mentioned.set(people)
    record(
        "approvals.case.commented",
        actor=Actor.person(by),
        organization_id=case.organization_id,
        subject=("case", case.pk),
        case_id=case.pk,
        after={"comment": row.pk, "told": [str(person) for person in people]},
        reason=text[:500],
    )
    notices.tell(
        [person for person in people if person.pk != by.pk],
        case=case,
        topic=f"mention:{row.pk}",
        subject=f"{by} mentions you at {case}",
        body=text,
        path=reverse("approvals:case", args=[case.pk]),
    )
    return row


def named_in(text: str, organization_id: int) -> list[User]:
    """The colleagues that a text names. Raises NothingSaid for a name nobody has, so that nobody waits in vain."""
    names = list(dict.fromkeys(name.rstrip(".-+").lower() for name in _NAMED.findall(text)))
    if len(names) > MOST_NAMED:
        raise NothingSaid(f"A comment names at most {MOST_NAMED} people.")
    members = Membership.objects.active().filter(organization_id=organization_id).select_related("user")
    known = {member.user.username.lower(): member.user for member in members} if names else {}
    missing = [name for name in names if name not in known]
    if missing:
        raise NothingSaid(f"Nobody here is called @{missing[0]}.")
    return [known[name] for name in names]
