"""A pack tried without importing it: what is wrong with it and where, or what importing it would change."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Organization
from workflows import comparing, pack_text
from workflows.checking import check, check_rules
from workflows.errors import BadPack
from workflows.models import RuleSet, Workflow, WorkflowVersion
from workflows.publishing import import_pack
from workflows.states import VersionState

_NAMED = re.compile(r"(?:Step|Trigger|Rule) [^\s:]+|“[^”]+”(?=:)")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that importing would bring, in a sentence, and how it differs from what is in force."""

    words: str
    differs: tuple[str, ...] = ()


@dataclass(slots=True)
class Rehearsal:
    """What came of it. What is `wrong` keeps the drafts from being published; a pack nobody can read brings none."""

    wrong: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


def rehearse(organization: Organization, text: str) -> Rehearsal:
    """Import a pack, look, and leave nothing of it behind."""
    found = Rehearsal()
    # Whether it could run depends on hundreds of rows: asked as if it were there, and then taken back.
    with transaction.atomic():
        try:
            _look(organization, text, found)
        except BadPack as refusal:
            found.wrong.append(str(refusal))
        transaction.set_rollback(True)
    found.wrong = _with_lines(text, found.wrong)
    return found


def _look(organization: Organization, text: str, found: Rehearsal) -> None:
    workflows = Workflow.objects.filter(organization=organization)
    known = set(workflows.values_list("slug", flat=True))
    version = import_pack(organization, text, by=None, reason="Tried, not imported.")
    workflow = version.workflow
    given = pack_text.read(text)
    if workflow.slug not in known:
        found.changes.append(Change(f"A new workflow “{workflow.name}” ({workflow.slug}) is made."))
    elif given["name"] != workflow.name:
        found.changes.append(Change(f"The workflow keeps its name “{workflow.name}”, not “{given['name']}”."))
    found.changes.append(_against_what_is_in_force(version, workflow.versions, comparing.versions))
    if "rules" in given:
        rule_set = workflow.rule_sets.filter(state=VersionState.DRAFT).latest("number")
        found.changes.append(_against_what_is_in_force(rule_set, workflow.rule_sets, comparing.rule_sets))
        found.wrong += check_rules(rule_set)
        _put_in_force(rule_set)
    else:
        found.changes.append(Change("The pack brings no rules: those in force stay."))
    found.wrong += check(version)


def _against_what_is_in_force(draft: Any, editions: Any, compare: Callable[[Any, Any], list[str]]) -> Change:
    former: WorkflowVersion | RuleSet | None = editions.filter(state=VersionState.PUBLISHED).first()
    if former is None:
        return Change(f"{draft} is drafted; nothing of its kind is in force yet.")
    differs = tuple(compare(former, draft))
    if not differs:
        return Change(f"{draft} is drafted; it says the same as {former}, which is in force.")
    return Change(f"{draft} is drafted. Against {former}, which is in force:", differs)


def _put_in_force(rule_set: RuleSet) -> None:
    """As publishing them first would: a version is checked with the rules that come with it."""
    for former in rule_set.workflow.rule_sets.filter(state=VersionState.PUBLISHED):
        former.move_to(VersionState.RETIRED)
    rule_set.move_to(VersionState.PUBLISHED, published_at=Now())


def _with_lines(text: str, problems: Iterable[str]) -> list[str]:
    """Each sentence that names a step, a trigger or a rule begins with its line."""
    try:
        lines = pack_text.lines(text)
    except BadPack:
        return list(problems)  # what cannot be read says its line itself
    found = []
    for problem in problems:
        named = _NAMED.match(problem)
        line = lines.get(named.group()) if named else None
        found.append(f"Line {line}: {problem[0].lower() + problem[1:]}" if line else problem)
    return found
