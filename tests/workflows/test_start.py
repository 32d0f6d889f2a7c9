"""The step kind `start`: begins another workflow once, takes its end over, and never goes in circles."""

from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from accounts.models import Organization, User
from accounts.roles import Role
from auditlog.services import Actor
from tests.factories import make_member, make_organization
from tests.plugins.pages import text_of
from tests.workflows.test_wait import hear
from workflows.cases import withdraw
from workflows.errors import Unpublishable
from workflows.models import Case, Event, Failure, Run
from workflows.publishing import check, import_pack, publish_pack
from workflows.tasks import tick

pytestmark = pytest.mark.django_db
GIVE = {"reference": "case.key", "what": "data.what", "who": "case.requested_by"}
DOOR = {"key": "called", "kind": "workflow"}
REST = {"key": "rest", "kind": "wait", "config": {"for_minutes": 30}}


@pytest.fixture
def organization() -> Organization:
    return make_organization("starts")


def start(workflow: str = "child", **config: Any) -> dict[str, Any]:
    return {"key": "hand-over", "kind": "start", "config": {"workflow": workflow, "fields": GIVE, **config}}


def pack(slug: str, *steps: dict[str, Any], door: bool = True, **changes: Any) -> dict[str, Any]:
    content = {
        "name": slug.title(),
        "slug": slug,
        "case_kind": slug,
        "opened_by": f"{slug}.asked",
        "fields": {"key": "reference", "requested_by": "who"},
        "steps": list(steps),
    }
    return {**content, **({"triggers": [DOOR]} if door else {}), **changes}


def publish(organization: Organization, *args: Any, **kwargs: Any) -> Any:
    return publish_pack(organization, pack(*args, **kwargs), by=None, reason="For a test.")


@pytest.fixture
def child(organization):
    return publish(organization, "child", REST)


def begin(organization: Organization, *steps: dict[str, Any]) -> Run:
    publish(organization, "parent", *steps)
    hear(organization, "parent.asked", reference="P1", what="a chair", who="shop form")
    tick()
    return Run.objects.get(workflow__slug="parent")


def run_of(slug: str) -> Run:
    return Run.objects.get(workflow__slug=slug)


def finish(run: Run) -> None:
    """Let a run's rest be over."""
    Run.objects.filter(pk=run.pk).update(kept={"end": "2020-01-01T00:00:00+00:00"}, wake_at=Now())
    tick()


def test_it_begins_the_other_one_with_what_is_declared_and_waits_for_its_end(
    organization, child, django_capture_on_commit_callbacks
):
    parent = begin(organization, start())
    other = run_of("child")

    assert (other.parent, other.trigger.key, other.version) == (parent, "called", child)
    assert other.case.data == {"reference": "P1", "what": "a chair", "who": "shop form"}
    assert (other.case.key, other.case.requested_by) == ("P1", "shop form")
    assert (parent.waits_for, parent.reason) == ("workflow", "Waits for child, which is about to begin.")

    Run.objects.filter(pk=parent.pk).update(wake_at=Now())
    tick()
    parent.refresh_from_db()
    assert parent.reason.startswith(f"Waits for {other.case} (child) to be done. There: Waits for 30 min")

    with django_capture_on_commit_callbacks(execute=True):
        finish(other)
    tick()

    parent.refresh_from_db()
    assert (parent.state, parent.case.state) == ("succeeded", "done")
    assert parent.steps.last().note.startswith(f"{other.case} is done: Waited until")


def test_it_does_not_wait_where_it_need_not(organization, child):
    parent = begin(organization, start(wait=False))

    assert (parent.state, parent.steps.last().note) == ("succeeded", "Began child.")
    assert run_of("child").state == "waiting"


def test_however_often_it_is_tried_it_begins_one(organization, child):
    parent = begin(organization, start())

    for _ in range(3):
        Run.objects.filter(pk=parent.pk).update(kept={}, wake_at=Now())
        tick()

    assert Run.objects.filter(workflow__slug="child").count() == 1
    assert Event.objects.filter(reader="desk").count() == 1


@pytest.mark.parametrize(("then", "state"), [("fail", "failed"), ("go_on", "succeeded")])
def test_another_end_of_the_other_one_goes_to_a_person_or_on(organization, child, then, state):
    parent = begin(organization, start(then=then))
    other = run_of("child")

    withdraw(other.case_id, actor=Actor.desk("test"), reason="Nobody wants it.")
    Run.objects.filter(pk=parent.pk).update(wake_at=Now())
    tick()

    parent.refresh_from_db()
    assert parent.state == state
    assert parent.steps.last().note == f"{other.case} ended as withdrawn: Nobody wants it."
    assert Failure.objects.filter(kind="data").count() == (state == "failed")


def test_whoever_asked_for_the_first_has_asked_for_the_second(organization, child):
    ada: User = make_member(organization, "ada", Role.OPERATOR)
    publish(organization, "parent", start())
    hear(organization, "parent.asked", reference="P1", what="a chair")
    Case.objects.update(requested_by_user=ada)

    tick()

    assert run_of("child").case.requested_by_user == ada


def test_a_case_that_was_there_already_is_not_taken_for_the_other_one(organization, child):
    hear(organization, "child.asked", reference="P1", what="a table")
    parent = begin(organization, start())

    Run.objects.filter(pk=parent.pk).update(wake_at=Now())
    tick()

    parent.refresh_from_db()
    assert parent.state == "failed"
    assert "child was not begun: The case P1 exists with other content" in parent.reason


def test_a_chain_of_starts_is_cut(organization, child):
    parent = begin(organization, start(wait=False))
    above = parent
    for _ in range(5):
        case = Case.objects.create(organization=organization, kind="parent", key=f"above-{above.pk}")
        above = Run.objects.create(
            organization=organization, workflow=parent.workflow, version=parent.version, case=case, parent=above,
            wake_at=None if above == parent else Now(), state="ready" if above != parent else "canceled",
            ended_at=None if above != parent else Now(),
        )  # fmt: skip

    tick()

    above.refresh_from_db()
    assert (above.state, above.reason) == (
        "failed",
        "5 workflows have started each other: look before going on.",
    )


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"workflow": "nobody"}, "no published version of “nobody” has a trigger of the kind workflow"),
        ({"workflow": "closed"}, "no published version of “closed” has a trigger of the kind workflow"),
        ({"workflow": "parent"}, "a workflow cannot start itself"),
        ({"workflow": ""}, "workflow is the short name"),
        ({"fields": {"what": "data.what"}}, "child needs “reference”, which fields does not give"),
        ({"fields": {}}, "fields says where each value"),
        ({"fields": {"reference": "case.secret"}}, "is no place"),
        ({"fields": {"reference": "{{ case.key }}"}}, "is no place"),
        ({"fields": {"reference": "fact.moon"}}, "There is no fact “moon”"),
        ({"wait": "yes"}, "wait is true or false"),
        ({"then": "stop"}, "then is fail or go_on"),
        ({"priority": 1}, "no setting “priority”"),
    ],
)
def test_a_start_that_could_not_work_is_not_published(organization, child, config, says):
    publish(organization, "closed", REST, door=False)
    draft = import_pack(organization, pack("parent", start(**config)), by=None, reason="Try")

    assert any(text.startswith("Step hand-over: ") and says in text for text in check(draft))


def test_no_circle_can_be_published(organization, child):
    publish(organization, "middle", start("child"))
    publish(organization, "parent", start("middle"))

    with pytest.raises(Unpublishable, match="child starts parent starts middle starts child: that would never end"):
        publish(organization, "child", start("parent"))


def page_of(client: Client, run: Run) -> str:
    return text_of(client.get(reverse("workflows:run", args=[run.pk])))


def test_parent_and_child_are_named_on_each_others_page_and_canceled_each_by_itself(organization, child, client):
    parent, other = begin(organization, start()), run_of("child")
    client.force_login(make_member(organization, "vera", Role.VIEWER))

    above, below = page_of(client, parent), page_of(client, other)

    assert f"RUN-{other.pk} (Child, {other.case}): waiting" in above
    assert f"Canceling RUN-{parent.pk} cancels none of these" in above
    assert f"RUN-{parent.pk} (Parent, {parent.case}) began this one" in below
    assert "Goes on as soon as the other case is done" in above
    withdraw(parent.case_id, actor=Actor.desk("test"), reason="Nobody wants it.")
    other.refresh_from_db()
    assert other.state == "waiting"
