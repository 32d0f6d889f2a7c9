"""The catalogue of facts as people read it: what each says, how it is compared, and who asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.urls import reverse

from workflows import facts, rules
from workflows.admin.conditions import WRITTEN
from workflows.models import Rule, Step
from workflows.states import VersionState

_IN_USE = (VersionState.PUBLISHED, VersionState.DRAFT)


@dataclass(frozen=True, slots=True)
class Edition:
    """One edition of what asks for a fact: its number and the page to change it."""

    number: int
    url: str


@dataclass(frozen=True, slots=True)
class Described:
    """One fact of the catalogue."""

    fact: facts.FactType
    operators: str
    written: str
    # What asks for it, such as “No order on file”, with its editions, newest first.
    uses: dict[str, list[Edition]] = field(default_factory=dict)


def facts_in_use(organization_id: int) -> list[Described]:
    """Every declared fact, with the rules and steps of this organization, drafted or in force, that ask for it."""
    found = {
        fact.name: Described(fact, ", ".join(rules.OPERATORS[fact.type].values()), WRITTEN[fact.type])
        for fact in facts.catalogue().values()
    }
    theirs = Rule.objects.filter(
        rule_set__workflow__organization_id=organization_id, rule_set__state__in=_IN_USE
    ).select_related("rule_set__workflow")
    for rule in theirs.order_by("rule_set__workflow", "-rule_set__number", "position"):
        place = reverse("admin:workflows_rule_change", args=[rule.pk])
        words = f"{rule.rule_set.workflow.slug}: {rule.name}"
        _add(found, rule.conditions, words, Edition(rule.rule_set.number, place))
    steps = Step.objects.filter(
        version__workflow__organization_id=organization_id, version__state__in=_IN_USE
    ).exclude(when=[])  # fmt: skip
    for step in steps.select_related("version__workflow").order_by("version__workflow", "-version__number", "position"):
        place = reverse("admin:workflows_workflowversion_change", args=[step.version_id])
        words = f"{step.version.workflow.slug}: step {step.key}"
        _add(found, step.when, words, Edition(step.version.number, place))
    return list(found.values())


def _add(found: Mapping[str, Described], conditions: object, words: str, edition: Edition) -> None:
    held = conditions if isinstance(conditions, list) else []  # a draft may hold anything
    for name in {str(condition.get("fact")) for condition in held if isinstance(condition, Mapping)}:
        if name in found:
            found[name].uses.setdefault(words, []).append(edition)
