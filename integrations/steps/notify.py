"""The step kind `notify`: tells the people of a team, or the requester, in the app and by mail.

to: {team: refunds}      or: to: requester
subject: "{case}: {case.granted} went back"
text: "..."              places in braces are filled by values of the case and by facts (`workflows/texts.py`)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import reverse

from accounts.models import Membership, Team, User
from integrations import notices
from integrations.models import Notice
from workflows import texts
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome
from workflows.errors import StepFailed
from workflows.models import WorkflowVersion
from workflows.states import FailureKind

LONGEST_SUBJECT = 140


class Notify:
    """Writes the notices with the step, once a run; they are delivered afterwards."""

    name = "notify"
    asks_outside = False
    moves_money = False
    starts_over = False

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Whom to tell, and what."""
        problems = [f"notify has no setting “{name}”." for name in config if name not in ("to", "subject", "text")]
        to = config.get("to")
        named = isinstance(to, Mapping) and list(to) == ["team"] and isinstance(to["team"], str) and to["team"]
        if to != "requester" and not named:
            problems.append("to is requester, or {team: short name}.")
        problems += [f"subject: {words}" for words in texts.check(config.get("subject"), most=LONGEST_SUBJECT)]
        return problems + [f"text: {words}" for words in texts.check(config.get("text"))]

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Notices are sent by the postman, afterwards."""

    def perform(self, context: RunContext) -> Outcome:
        """Write the notices. Raises StepFailed (data) when the team has nobody who could read them."""
        config, case = context.step.config, context.case
        people = _people(context, config["to"])
        if not people:
            return Done("Nobody was told: whoever asked has no account here.")
        topic = f"notify:{context.run.pk}:{context.step.position}"
        if Notice.objects.filter(topic=topic).exists():
            return Done("They were told in an earlier turn of this run.")
        notices.tell(
            people,
            case=case,
            topic=topic,
            subject=" ".join(texts.fill(config["subject"], case, context.facts).split()),
            body=texts.fill(config["text"], case, context.facts),
            path=reverse("approvals:case", args=[case.pk]),
        )
        names = ", ".join(str(person) for person in people[:3]) + (" and others" if len(people) > 3 else "")
        context.record(
            "integrations.notice.written",
            subject=context.run,
            after={"people": len(people)},
            reason=f"Told {names}.",
        )
        return Done(f"Told {names}.")


def _people(context: RunContext, to: Any) -> list[User]:
    """Whom to tell: active members of the organization only."""
    organization_id = context.run.organization_id
    members = Membership.objects.active().filter(organization_id=organization_id).select_related("user")
    if to == "requester":
        return [member.user for member in members.filter(user=context.case.requested_by_user_id)]
    of_team = members.filter(user__teams__slug=to["team"], user__teams__organization=organization_id)
    found = [member.user for member in of_team.order_by("user")]
    if not found:
        raise StepFailed(FailureKind.DATA, f"The team {to['team']} has nobody who could be told.")
    return found


def teams_exist(version: WorkflowVersion) -> list[str]:
    """Sentences about steps that tell a team the organization does not have, or that is empty."""
    teams = Team.objects.filter(organization_id=version.workflow.organization_id)
    reachable = Membership.objects.active().filter(organization_id=version.workflow.organization_id)
    filled = set(teams.filter(members__memberships__in=reachable).values_list("slug", flat=True))
    problems = []
    for step in version.steps.filter(kind="notify").order_by("position"):
        to = step.config.get("to") if isinstance(step.config, dict) else None
        if isinstance(to, Mapping) and to.get("team") not in filled:
            problems.append(f"Step {step.key}: there is no team “{str(to.get('team'))[:40]}” with anybody in it.")
    return problems
