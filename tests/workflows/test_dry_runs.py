"""Dry runs: past cases decided again by the rules of a draft, told in sums and one by one, changing nothing."""

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.urls import reverse

from accounts.roles import Role
from auditlog.models import Entry
from integrations import facts as _declared  # noqa: F401 - declares the catalogue
from opsdesk.lib import clock, errands
from tests import factories
from tests.admin.conftest import signed_in
from tests.admin.sent import page
from workflows import dry_run_jobs, dry_runs
from workflows.errors import Unpublishable
from workflows.models import Case, Decision, DryRun, OtherDecision, RuleSet
from workflows.publishing import new_draft_rules
from workflows.states import DryRunState, RunState, Tier

pytestmark = pytest.mark.django_db

STRICT = {"fact": "amount", "operator": "above", "value": "40.00 GBP"}
WAS_RULES = {"source": "rule 1", "result": "hit", "words": "No order on file", "tier": "full_review"}


@pytest.fixture
def desk():
    """An organization with its cast and a draft of one rule: above 40.00 GBP people look."""
    organization, cast = factories.make_desk()
    factories.published_version(organization)
    draft = new_draft_rules(RuleSet.objects.get(state="published"), by=None, reason="Stricter")
    draft.rules.exclude(position=1).delete()
    draft.rules.update(name="Above 40", conditions=[STRICT])
    return organization, cast, draft


@pytest.fixture
def decided(desk):
    """Makes a case about which was decided: its amount, the tier it got, and what was said besides the rules."""

    def make(amount, tier, *trace, facts=None):
        case = factories.make_case(desk[0], amount=amount)
        run = factories.make_run(case, state=RunState.SUCCEEDED)
        held = {"amount": {"value": case.amount_minor}, "currency": {"value": "GBP"}} if facts is None else facts
        said = [{"source": "thresholds", "result": "miss", "words": "Small", "tier": "instant"}, *trace]
        factories.make_decision(run, tier=tier, facts=held, trace=said)
        return case

    return make


def look(desk, *, most=100):
    """A dry run of the draft, carried to its end."""
    dry_run = dry_runs.ask(desk[2], most=most, by=desk[1].tomasz)
    assert dry_runs.carry_on(dry_run.pk) is False
    dry_run.refresh_from_db()
    return dry_run


def test_a_dry_run_lists_which_decisions_would_be_others(desk, decided):
    stricter = decided("50.00", Tier.INSTANT)
    same = decided("10.00", Tier.INSTANT)
    milder = decided("20.00", Tier.FULL_REVIEW, WAS_RULES)
    before = list(Decision.objects.values()), list(Case.objects.values())

    dry_run = look(desk)

    assert (dry_run.state, dry_run.total, dry_run.looked_at) == (DryRunState.DONE, 3, 3)
    assert (dry_run.milder, dry_run.stricter, dry_run.changed) == (1, 1, 2)
    assert dry_run.moves == {"instant>full_review": 1, "full_review>instant": 1}
    assert dry_run.money == {"GBP": [2000, 5000]}
    found = {other.case: (other.before, other.after, other.words) for other in dry_run.others.all()}
    assert found == {
        stricter: ("instant", "full_review", "Full review: Above 40."),
        milder: ("full_review", "instant", "Instant: Small."),
    }
    assert same not in found
    assert (list(Decision.objects.values()), list(Case.objects.values())) == before


@pytest.mark.parametrize(
    ("trace", "facts", "tier"),
    [
        ([], {}, Tier.FULL_REVIEW),
        ([{"source": "controls", "result": "hit", "words": "Skipped", "tier": "full_review"}], None, Tier.FULL_REVIEW),
        ([WAS_RULES], None, Tier.INSTANT),
    ],
    ids=["what is not known", "what others asked for", "what old rules asked for"],
)
def test_what_stands_and_what_is_asked_anew(desk, decided, trace, facts, tier):
    case = decided("20.00", Tier.FAST_TRACK, *trace, facts=facts)

    look(desk)

    assert OtherDecision.objects.get(case=case).after == tier


def test_only_the_last_cases_of_the_same_workflow_are_looked_at(desk, decided):
    old, new = decided("50.00", Tier.INSTANT), decided("60.00", Tier.INSTANT)
    run = new.runs.get()
    factories.make_decision(run, tier=Tier.FULL_REVIEW, facts=Decision.objects.get(run=run).facts)
    factories.make_case(desk[0], amount="70.00")
    elsewhere, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    theirs = factories.make_run(factories.make_case(elsewhere), state=RunState.SUCCEEDED)
    factories.make_decision(theirs, tier=Tier.INSTANT)

    assert (look(desk).total, look(desk, most=1).total) == (2, 1)
    # The last decision about the newer case asked for people already.
    assert list(DryRun.objects.first().others.values_list("case", flat=True)) == []
    assert list(DryRun.objects.last().others.values_list("case", flat=True)) == [old.pk]


def test_a_dry_run_goes_on_where_its_job_was_killed(desk, decided, monkeypatch):
    monkeypatch.setattr(dry_runs, "CHUNK", 2)
    cases = [decided("50.00", Tier.INSTANT) for _ in range(5)]
    dry_run = dry_runs.ask(desk[2], most=100, by=desk[1].tomasz)
    decided("90.00", Tier.INSTANT)  # arrives while it runs; not one of the cases that were asked about

    assert dry_runs.carry_on(dry_run.pk, seconds=-1) is True
    half = DryRun.objects.get(pk=dry_run.pk).looked_at
    assert dry_runs.carry_on(dry_run.pk) is False
    assert dry_runs.carry_on(dry_run.pk) is False

    dry_run.refresh_from_db()
    assert (half, dry_run.state, dry_run.looked_at, dry_run.stricter) == (2, "done", 5, 5)
    assert dry_run.others.count() == len(cases)


def test_rules_that_change_meanwhile_end_the_dry_run(desk, decided):
    decided("50.00", Tier.INSTANT)
    dry_run = dry_runs.ask(desk[2], most=100, by=desk[1].tomasz)
    desk[2].rules.update(tier=Tier.FAST_TRACK)

    assert dry_runs.carry_on(dry_run.pk) is False

    dry_run.refresh_from_db()
    assert (dry_run.state, dry_run.changed) == (DryRunState.FAILED, 0)
    assert dry_run.note == "The rules were changed meanwhile: try them again as they are now."


def test_rules_that_cannot_be_asked_are_not_tried(desk):
    desk[2].rules.update(conditions=[{"fact": "moon", "operator": "is_true"}])

    with pytest.raises(Unpublishable, match="There is no fact “moon”"):
        dry_runs.ask(desk[2], most=100, by=desk[1].tomasz)

    assert not DryRun.objects.exists()
    assert not Entry.objects.filter(verb="workflows.rule_set.tried").exists()


def test_a_lost_job_is_asked_for_again_and_given_up_after_five(desk, decided):
    decided("50.00", Tier.INSTANT)
    dry_run = dry_runs.ask(desk[2], most=100, by=desk[1].tomasz)
    rows = DryRun.objects.filter(pk=dry_run.pk)

    assert dry_runs.take_stale() == []
    taken = []
    for _ in range(errands.MOST_TRIES + 1):
        rows.update(touched_at=clock.now() - timedelta(minutes=1))
        taken.append(dry_runs.take_stale())

    assert taken == [*[[dry_run.pk]] * errands.MOST_TRIES, []]
    dry_run.refresh_from_db()
    assert dry_run.state == DryRunState.FAILED
    assert "5 times in a row" in dry_run.note


def test_asking_puts_the_job_on_the_queue_after_the_commit(
    desk, decided, monkeypatch, django_capture_on_commit_callbacks
):
    pushed = []
    monkeypatch.setattr(errands, "push", lambda name, job, key: pushed.append(key))

    with django_capture_on_commit_callbacks(execute=True):
        dry_run = dry_run_jobs.ask(desk[2], most=100, by=desk[1].tomasz)
        assert pushed == []

    assert pushed == [dry_run.pk]
    entry = Entry.objects.get(verb="workflows.rule_set.tried")
    assert (entry.user, entry.subject_id) == (desk[1].tomasz, desk[2].pk)


def test_the_job_finishes_a_dry_run_through_the_real_queue(desk, decided, django_capture_on_commit_callbacks):
    import django_rq

    decided("50.00", Tier.INSTANT)
    queue = django_rq.get_queue(errands.QUEUE)
    queue.empty()

    with django_capture_on_commit_callbacks(execute=True):
        dry_run = dry_run_jobs.ask(desk[2], most=100, by=desk[1].tomasz)
    (job,) = queue.jobs

    assert job.perform() == "nothing is left"
    queue.empty()
    assert DryRun.objects.get(pk=dry_run.pk).state == DryRunState.DONE


# --- pages -----------------------------------------------------------------------------------------------------------


def shown(desk, dry_run, **query):
    return signed_in(desk[1].tomasz).get(reverse("workflows:dry_run", args=[dry_run.pk]), query)


def test_a_person_asks_and_reads_what_would_change(desk, decided, django_capture_on_commit_callbacks):
    stricter, milder = decided("50.00", Tier.INSTANT), decided("20.00", Tier.FULL_REVIEW, WAS_RULES)
    browser = signed_in(desk[1].tomasz)
    place = page(desk[2], "try")

    asked = browser.post(place, {"most": "100"})
    dry_run = DryRun.objects.get()
    running = browser.get(asked.url).content.decode()
    dry_runs.carry_on(dry_run.pk)
    done = browser.get(asked.url).content.decode()
    again = browser.get(place).content.decode()

    assert asked.url == reverse("workflows:dry_run", args=[dry_run.pk])
    assert "<progress" in running and "data-poll" in running
    assert "<progress" not in done and "data-poll" not in done
    assert str(stricter) in done and str(milder) in done
    assert "£20.00 would have needed less consent, £50.00 more." in done
    assert f'href="{asked.url}"' in again and "2 of 2 decisions would be others" in again


def test_who_publishes_sees_what_the_last_dry_run_of_just_these_rules_found(desk, decided):
    decided("50.00", Tier.INSTANT)
    browser = signed_in(desk[1].tomasz)
    untried = browser.get(page(desk[2], "publish")).content.decode()
    look(desk)

    tried = browser.get(page(desk[2], "publish")).content.decode()
    desk[2].rules.update(name="Other")
    changed = browser.get(page(desk[2], "publish")).content.decode()

    assert "1 decision would be another one" in tried
    assert "past case" not in untried and "past case" not in changed


def test_the_list_is_narrowed_to_one_way_from_tier_to_tier(desk, decided):
    stricter, milder = decided("50.00", Tier.INSTANT), decided("20.00", Tier.FULL_REVIEW, WAS_RULES)
    dry_run = look(desk)

    text = shown(desk, dry_run, move="instant>full_review").content.decode()
    nonsense = shown(desk, dry_run, move="moon>sun").content.decode()

    assert str(stricter) in text and str(milder) not in text
    assert str(stricter) in nonsense and str(milder) in nonsense


def test_a_dry_run_of_rules_that_changed_since_says_so(desk, decided):
    decided("50.00", Tier.INSTANT)
    dry_run = look(desk)
    assert "The rules were changed since" not in shown(desk, dry_run).content.decode()

    desk[2].rules.update(tier=Tier.FAST_TRACK)

    assert "The rules were changed since" in shown(desk, dry_run).content.decode()


def test_many_cases_are_read_page_by_page_with_as_many_queries(desk, decided, django_assert_max_num_queries):
    for _ in range(2):
        decided("50.00", Tier.INSTANT)
    dry_run = look(desk)
    for _ in range(60):
        case = factories.make_case(desk[0])
        decision = Decision.objects.first()
        OtherDecision.objects.create(
            dry_run=dry_run, case=case, decision=decision, before="instant", after="full_review", words="Because."
        )

    browser = signed_in(desk[1].tomasz)
    place = reverse("workflows:dry_run", args=[dry_run.pk])

    with django_assert_max_num_queries(9):
        first = browser.get(place)
    more = re.search(r'href="[^"]*before=(\d+)"', first.content.decode())
    rest = browser.get(place, {"before": more[1]})

    assert len(first.context["page"].rows) == 50
    assert len(rest.context["page"].rows) == 12
    seen = [row.case_id for answer in (first, rest) for row in answer.context["page"].rows]
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMIN])
def test_only_who_configures_reads_dry_runs(desk, role):
    dry_run = factories.make_dry_run(desk[0], by=desk[1].tomasz)
    person = factories.make_member(desk[0], "nadia", role)

    assert signed_in(person).get(reverse("workflows:dry_run", args=[dry_run.pk])).status_code == 403


def test_dry_runs_of_others_are_not_there(desk):
    _, cast = factories.make_desk("elsewhere", suffix="-elsewhere")
    dry_run = factories.make_dry_run(desk[0], by=desk[1].tomasz)

    theirs = signed_in(cast.tomasz)

    assert theirs.get(reverse("workflows:dry_run", args=[dry_run.pk])).status_code == 404
    assert theirs.post(page(desk[2], "try"), {"most": "100"}).status_code == 404
    assert DryRun.objects.count() == 1


# --- what the database refuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"state": "sleeping"}, "workflows_dryrun_known_state"),
        ({"ended_at": None}, "workflows_dryrun_ended_at_unless_running"),
    ],
)
def test_the_database_refuses_a_dry_run_that_cannot_be(desk, changes, name):
    with pytest.raises(IntegrityError, match=name):
        factories.make_dry_run(desk[0], by=desk[1].tomasz, **changes)


def test_the_database_refuses_another_decision_that_is_the_same(desk, decided):
    decided("50.00", Tier.INSTANT)
    look(desk)

    with pytest.raises(IntegrityError, match="workflows_otherdecision_is_another"):
        OtherDecision.objects.update(after="instant")
