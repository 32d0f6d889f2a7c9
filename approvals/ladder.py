"""The ladder: what happens to a review that nobody decides, rung by rung: reminding, handing over, telling managers.

It never decides.

A rung is due so many business minutes after the review was opened.
"""

from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse

from accounts.models import Membership, Person, User
from accounts.roles import Role
from approvals import claims, opening, rungs, skills, tries, turns, voters
from approvals.models import Review, Rung
from approvals.states import ReviewState, Timer
from auditlog.services import Actor, record
from integrations import notices
from opsdesk.lib import clock
from workflows import cases
from workflows.models import Case

_TIMER = Actor.timer("escalation ladder")
What = Rung.What


def climb(limit: int = 50) -> int:
    """Do what is due on the ladders; returns how many rungs were climbed."""
    due = Review.objects.open().filter(rung_due_at__lte=Now()).order_by("rung_due_at")
    return tries.each(Timer.LADDER, due, climb_one, most=limit)


@transaction.atomic
def climb_one(review_id: int) -> int:
    """Do every rung of one review that is due, each once; 0 when somebody was first or the clock had stood."""
    case, review = _locked(review_id)
    now = clock.now()
    if review.state != ReviewState.OPEN or review.rung_due_at is None or review.rung_due_at > now:
        return 0
    climbed = 0
    higher = Rung.objects.filter(tier=review.settings_id, after_minutes__gt=review.climbed_minutes)
    review.rung_due_at = None
    for rung in higher.order_by("after_minutes", "position"):
        due_at = rungs.due_at(review, rung.after_minutes)
        if due_at > now:
            review.rung_due_at = due_at
            break
        _DO[What(rung.what)](review, case, rung)
        review.climbed_minutes = rung.after_minutes
        climbed += 1
    review.save(update_fields=["climbed_minutes", "rung_due_at"])
    return climbed


def _locked(review_id: int) -> tuple[Case, Review]:
    """Case and review under their locks, in the order in which everybody takes them."""
    case = cases.locked(Review.objects.values_list("case_id", flat=True).get(pk=review_id))
    review = Review.objects.locked().select_related("settings", "decision", "run", "assignee__person")
    found = review.get(pk=review_id)
    found.case = case
    return case, found


def _remind(review: Review, case: Case, rung: Rung) -> None:
    people = [review.assignee] if review.assignee else voters.eligible(review, voters.stage_of(review))
    _notify(people, review, case, rung, f"{case} waits for you")
    _tell(review, "reminded", rung, f"{_waited(rung)} {voters.names(people, joint='and')} was reminded.")


def _reassign(review: Review, case: Case, rung: Rung) -> None:
    before = review.assignee
    if before is not None and claims.is_held_by(review, before):
        _tell(review, "kept", rung, f"{_waited(rung)} {before} has it open, so it stays with them.")
        return
    stage = voters.stage_of(review)
    others = [user for user in voters.eligible(review, stage) if before is None or not user.same_person_as(before)]
    fit = skills.fitting(case, others)
    # Also where its people take cases themselves, or have as many as they are given: this one has waited.
    turn = (turns.next_of(team, fit) for team in voters.teams_asked(review, stage))
    whom = next(filter(None, turn), None) or next(iter(fit), None)
    if whom is None:
        _tell(review, "kept", rung, f"{_waited(rung)} Nobody else may decide it.")
        return
    review.assignee, review.assigned_at = whom, clock.now()
    review.save(update_fields=["assignee", "assigned_at"])
    opening.say_standing(review)
    _notify([whom], review, case, rung, f"{case} is yours to decide")
    _tell(review, "given", rung, f"{_waited(rung)} It went from {before or 'nobody'} to {whom}.")


def _to_manager(review: Review, case: Case, rung: Rung) -> None:
    _escalate(review, case, rung, steps=1)


def _to_managers_manager(review: Review, case: Case, rung: Rung) -> None:
    _escalate(review, case, rung, steps=2)


def _escalate(review: Review, case: Case, rung: Rung, *, steps: int) -> None:
    """Tell whoever stands so many steps above the owner; where nobody does, the highest below, else all managers."""
    person = review.assignee.person if review.assignee is not None else None
    above = person.above()[:steps] if person is not None else []
    people = next(filter(None, (_accounts_of(each, review) for each in reversed(above))), [])
    how = f"{voters.names(people, joint='and')} was told"
    if not people:
        people = _managers(review)
        whose = review.assignee or "a case that nobody has"
        how = f"Nobody stands above {whose}, so every manager was told: {voters.names(people, joint='and')}"
    review.escalated_at = review.escalated_at or clock.now()
    review.save(update_fields=["escalated_at"])
    _notify(people, review, case, rung, f"{case} waits too long")
    _tell(review, "escalated", rung, f"{_waited(rung)} {how}.")


def _accounts_of(person: Person, review: Review) -> list[User]:
    """The accounts of a person that may sign in to the organization now."""
    rows = Membership.objects.active().filter(organization_id=review.organization_id, user__person=person)
    return [row.user for row in rows.select_related("user").order_by("pk")]


def _managers(review: Review) -> list[User]:
    rows = Membership.objects.active().filter(organization_id=review.organization_id, role=Role.MANAGER)
    return [row.user for row in rows.select_related("user").order_by("pk")]


def _waited(rung: Rung) -> str:
    return f"It has waited {rung.after_minutes} business minutes."


def _notify(people: Sequence[User], review: Review, case: Case, rung: Rung, subject: str) -> None:
    notices.tell(
        list(people),
        case=case,
        topic=f"ladder:{review.pk}:{rung.after_minutes}:{rung.what}",
        subject=f"{subject}: {case.amount or 'amount not known'} to {case.who}",
        body=f"{case}, {case.who}: {case.amount or 'amount not known'}.\n{review.decision.sentence}\n{_waited(rung)}",
        path=reverse("approvals:case", args=[case.pk]),
    )


def _tell(review: Review, verb: str, rung: Rung, reason: str) -> None:
    record(
        f"approvals.review.{verb}",
        actor=_TIMER,
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=review.case_id,
        after={"rung": rung.what, "after_minutes": rung.after_minutes, "assignee": str(review.assignee or "nobody")},
        reason=reason,
    )


_DO = {
    What.REMIND: _remind,
    What.REASSIGN: _reassign,
    What.MANAGER: _to_manager,
    What.MANAGERS_MANAGER: _to_managers_manager,
}
