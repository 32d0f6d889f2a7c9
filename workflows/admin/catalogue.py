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
class Use:
    """One rule or step that asks for a fact."""

    words: str
    url: str


@dataclass(frozen=True, slots=True)
class Described:
    """One fact of the catalogue."""

    fact: facts.FactType
    operators: str
    written: str
    uses: list[Use] = field(default_factory=list)


def facts_in_use(organization_id: int) -> list[Described]:
    """Every declared fact, with the rules and steps of this organization, drafted or in force, that ask for it."""
    found = {
        fact.name: Described(fact, ", ".join(rules.OPERATORS[fact.type].values()), WRITTEN[fact.type])
        for fact in facts.catalogue().values()
    }
    theirs = Rule.objects.filter(
        rule_set__workflow__organization_id=organization_id, rule_set__state__in=_IN_USE
    ).select_related("rule_set__workflow")
    for rule in theirs.order_by("rule_set__state", "rule_set", "position"):
        use = Use(f"{rule.name} ({rule.rule_set})", reverse("admin:workflows_rule_change", args=[rule.pk]))
        _add(found, rule.conditions, use)
    steps = Step.objects.filter(
        version__workflow__organization_id=organization_id, version__state__in=_IN_USE
    ).exclude(when=[])  # fmt: skip
    for step in steps.select_related("version__workflow").order_by("version", "position"):
        place = reverse("admin:workflows_workflowversion_change", args=[step.version_id])
        _add(found, step.when, Use(f"step {step.key} ({step.version})", place))
    return list(found.values())


def _add(found: Mapping[str, Described], conditions: object, use: Use) -> None:
    held = conditions if isinstance(conditions, list) else []  # a draft may hold anything
    for name in {str(condition.get("fact")) for condition in held if isinstance(condition, Mapping)}:
        if name in found:
            found[name].uses.append(use)
