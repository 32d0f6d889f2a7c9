"""Definitions: taken in and given out as YAML packs, drafted, checked, published."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction

from accounts.models import Organization, User
from workflows import pack_text
from workflows.checking import FIELDS, check, check_rules, second_person
from workflows.editions import Editions
from workflows.errors import BadPack
from workflows.models import Rule, RuleSet, Step, Trigger, Workflow, WorkflowVersion
from workflows.states import VersionState

__all__ = [
    "RULE_SETS",
    "VERSIONS",
    "check",
    "check_rules",
    "export_pack",
    "import_pack",
    "new_draft",
    "new_draft_rules",
    "publish",
    "publish_pack",
    "publish_rules",
]

VERSIONS = Editions(WorkflowVersion, "workflows.version", check, partial(second_person, what="steps"))
RULE_SETS = Editions(RuleSet, "workflows.rule_set", check_rules, second_person)
publish = VERSIONS.publish
publish_rules = RULE_SETS.publish

Row = TypeVar("Row", bound=models.Model)
# What most versions leave as it is: a pack names it only where it says something else.
_UNLESS_SAID = {"priority": 50, "concurrency": [], "debounce_seconds": 0}
_IN_VERSION = ("case_kind", "opened_by", "withdrawn_by", "fields", *_UNLESS_SAID)
_IN_PACK = ("name", "slug", *_IN_VERSION, "triggers", "steps", "rules")
_IN_STEP = ("key", "kind", "when", "match", "config")
_IN_TRIGGER = ("key", "kind", "config")
_IN_RULE = ("name", "match", "conditions", "effect", "tier")
IN_CONDITION = ("fact", "operator", "value")


def new_draft(version: WorkflowVersion, *, by: User | None, reason: str) -> WorkflowVersion:
    """A copy of a version to edit."""
    with VERSIONS.drafting(version.workflow, by=by, reason=reason, source=str(version)) as number:
        content = {name: getattr(version, name) for name in _IN_VERSION}
        copy = WorkflowVersion.objects.create(workflow=version.workflow, number=number, edited_by=by, **content)
        _copy_rows(version.steps.all(), version=copy)
        _copy_rows(version.triggers.all(), version=copy)
    return copy


def new_draft_rules(rule_set: RuleSet, *, by: User | None, reason: str) -> RuleSet:
    """A copy of a rule set to edit."""
    with RULE_SETS.drafting(rule_set.workflow, by=by, reason=reason, source=str(rule_set)) as number:
        copy = RuleSet.objects.create(workflow=rule_set.workflow, number=number, edited_by=by)
        _copy_rows(rule_set.rules.all(), rule_set=copy)
    return copy


def _copy_rows(rows: "models.QuerySet[Any]", **parent: models.Model) -> None:
    copies = list(rows)
    for row in copies:
        row.pk = None
        for name, value in parent.items():
            setattr(row, name, value)
    rows.model._default_manager.bulk_create(copies)


@transaction.atomic
def import_pack(
    organization: Organization, pack: str | Mapping[str, Any], *, by: User | None, reason: str
) -> WorkflowVersion:
    """Drafts of a version and of its rule set from a pack; the workflow is made when there is none of that slug.

    A pack without rules brings a version alone. Raises BadPack with what cannot be read; whether it could run is
    for `check` to say.
    """
    content = pack_text.read(pack) if isinstance(pack, str) else pack
    _only(content, _IN_PACK, "A pack")
    named = Workflow(organization=organization, name=content.get("name", ""), slug=content.get("slug", ""))
    _sound(named, "The pack", "organization")
    workflow, _ = Workflow.objects.get_or_create(
        organization=organization, slug=named.slug, defaults={"name": named.name}
    )
    with VERSIONS.drafting(workflow, by=by, reason=reason, verb="imported") as number:
        chosen = {name: content[name] for name in _IN_VERSION if name in content}
        version = WorkflowVersion(workflow=workflow, number=number, edited_by=by, **chosen)
        _sound(version, "The pack", "workflow").save()
        Step.objects.bulk_create(
            _sound(Step(version=version, position=position, **row), f"Step {position}", "version")
            for position, row in enumerate(_rows(content, "steps", _IN_STEP), start=1)
        )
        declared = _rows(content, "triggers", _IN_TRIGGER) if "triggers" in content else []
        Trigger.objects.bulk_create(
            _sound(Trigger(version=version, position=position, **row), f"Trigger {position}", "version")
            for position, row in enumerate(declared, start=1)
        )
    if "rules" in content:
        with RULE_SETS.drafting(workflow, by=by, reason=reason, verb="imported") as number:
            rule_set = RuleSet.objects.create(workflow=workflow, number=number, edited_by=by)
            Rule.objects.bulk_create(
                _sound(Rule(rule_set=rule_set, position=position, **row), f"Rule {position}", "rule_set")
                for position, row in enumerate(_rows(content, "rules", _IN_RULE), start=1)
            )
    return version


@transaction.atomic
def publish_pack(
    organization: Organization, pack: str | Mapping[str, Any], *, by: User | None, reason: str
) -> WorkflowVersion:
    """Import a pack and put it in force, rules first. Raises BadPack, Unpublishable."""
    version = import_pack(organization, pack, by=by, reason=reason)
    drafts = version.workflow.rule_sets.filter(state=VersionState.DRAFT)
    rule_set = drafts.order_by("-number").first()
    if rule_set is not None:
        publish_rules(rule_set, by=by, reason=reason)
    return publish(version, by=by, reason=reason)


def export_pack(version: WorkflowVersion, *, rules: bool = True) -> str:
    """The version as YAML, with the rules that go with it: those in force, or for a draft the draft ones."""
    workflow = version.workflow
    pack: dict[str, Any] = {"name": workflow.name, "slug": workflow.slug}
    content = {name: getattr(version, name) for name in _IN_VERSION}
    pack |= {name: value for name, value in content.items() if _UNLESS_SAID.get(name, ...) != value}
    pack["fields"] = in_order(version.fields, FIELDS)
    triggers = [_named(row, _IN_TRIGGER) for row in version.triggers.order_by("position")]
    pack |= {"triggers": triggers} if triggers else {}
    pack["steps"] = list(map(_step_as_data, version.steps.order_by("position")))
    rule_set = _rules_beside(version) if rules else None
    if rule_set is not None:
        pack["rules"] = [
            {name: getattr(rule, name) for name in _IN_RULE} | {"conditions": _in_order(rule.conditions)}
            for rule in rule_set.rules.order_by("position")
        ]
    return pack_text.write(pack)


def _named(row: Step | Trigger, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(row, name))}


def _step_as_data(step: Step) -> dict[str, Any]:
    content = _named(step, _IN_STEP)
    if not step.when or step.match == Rule.Match.ALL:
        content.pop("match", None)
    if step.when:
        content["when"] = _in_order(step.when)
    return content


def _in_order(conditions: Any) -> Any:
    """Conditions as they are spoken; what a draft holds in their place stays as it is."""
    if not isinstance(conditions, list):
        return conditions
    return [in_order(each, IN_CONDITION) if isinstance(each, Mapping) else each for each in conditions]


def in_order(content: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The same content with its names in the order they are spoken in; the database keeps none."""
    place = {name: index for index, name in enumerate(names)}
    return dict(sorted(content.items(), key=lambda pair: place.get(pair[0], len(place))))


def _rules_beside(version: WorkflowVersion) -> RuleSet | None:
    order = [VersionState.PUBLISHED, VersionState.DRAFT]
    if version.state == VersionState.DRAFT:
        order.reverse()
    rule_sets = version.workflow.rule_sets.order_by("-number")
    return next((found for state in order if (found := rule_sets.filter(state=state).first())), None)


def _only(content: object, names: tuple[str, ...], what: str) -> None:
    if not isinstance(content, Mapping):
        raise BadPack(f"{what} is names with values: {', '.join(names)}.")
    strange = [str(name)[:40] for name in content if name not in names]
    if strange:
        raise BadPack(f"{what} has no “{strange[0]}”: it has {', '.join(names)}.")


def _rows(content: Mapping[str, Any], name: str, names: tuple[str, ...]) -> list[Mapping[str, Any]]:
    rows = content.get(name)
    if not isinstance(rows, list) or not rows:
        raise BadPack(f"A pack needs a list of {name}.")
    for position, row in enumerate(rows, start=1):
        _only(row, names, f"{name.removesuffix('s').capitalize()} {position}")
    labels = [row.get("key") for row in rows if row.get("key") is not None]
    if len(set(map(str, labels))) < len(labels):
        raise BadPack(f"Two {name} have the same key.")
    return rows


def _sound(row: Row, what: str, *parents: str) -> Row:
    """The unsaved row with its own fields checked; what hangs on other rows is for the database."""
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        if isinstance(field, models.CharField) and not isinstance(value, str):
            raise BadPack(f"{what}: {field.name} must be a text.")
    try:
        row.clean_fields(exclude=parents)
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise BadPack(f"{what}: {name}: {messages[0]}") from error
    return row
