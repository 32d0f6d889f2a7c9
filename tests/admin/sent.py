"""Forms of the admin as a browser sends them."""

import json

from django.urls import reverse

from workflows import facts

DAYS = facts.FactType("", "days", "", "", "", "")
WHY = {"change_reason": "Agreed with finance"}


def page(row, name="change"):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=[row.pk])


def rows_data(prefix, rows, fields, *, extra=()):
    """The form data of an inline as a browser sends it; `extra` are new rows as dicts."""
    data = {f"{prefix}-TOTAL_FORMS": len(rows) + len(extra), f"{prefix}-INITIAL_FORMS": len(rows)}
    for index, row in enumerate(rows):
        data[f"{prefix}-{index}-id"] = row.pk
        for field in fields:
            value = getattr(row, field)
            data[f"{prefix}-{index}-{field}"] = json.dumps(value) if isinstance(value, list | dict) else value
    for index, new in enumerate(extra, start=len(rows)):
        data |= {f"{prefix}-{index}-{field}": value for field, value in new.items()}
    return data


def rules_data(rule_set, **more):
    return {**rows_data("rules", list(rule_set.rules.order_by("position")), ["position"], **more), **WHY}


def rule_data(rule, **changes):
    """The form of one rule as a browser sends it."""
    own = {name: getattr(rule, name) for name in ("name", "match", "effect", "tier")}
    return {**own, **conditions_data("conditions", rule.conditions), **WHY, **changes}


def steps_data(version, **more):
    rows = list(version.steps.order_by("position"))
    as_it_is = ("case_kind", "opened_by", "withdrawn_by", "priority", "debounce_seconds")
    own = {name: getattr(version, name) for name in as_it_is}
    own |= {"fields": json.dumps(version.fields), "concurrency": json.dumps(version.concurrency)}
    triggers = list(version.triggers.order_by("position"))
    own |= rows_data("triggers", triggers, ["position", "key", "kind", "config"])
    data = {**own, **rows_data("steps", rows, ["position", "key", "kind", "config", "match"], **more), **WHY}
    for index, step in enumerate(rows):
        data |= conditions_data(f"steps-{index}-when", step.when)
    return data


def conditions_data(name, conditions):
    """The rows of conditions as a browser sends them."""
    data = {f"{name}-rows": len(conditions)}
    for index, condition in enumerate(conditions):
        typed = {"value": "", "currency": "", **condition}
        if isinstance(typed["value"], list):
            typed["value"] = "\r\n".join(typed["value"])
        if facts.catalogue().get(condition["fact"], DAYS).type == "money":
            typed["value"], _, typed["currency"] = typed["value"].partition(" ")
        data |= {f"{name}-{index}-{part}": value for part, value in typed.items()}
    return data


def bands_data(policy, bands):
    rows = list(policy.thresholds.order_by("currency", "above_minor"))
    data = rows_data("thresholds", rows, [], extra=[{} for _ in bands[len(rows) :]])
    for index, (above, tier) in enumerate(bands):
        data |= {f"thresholds-{index}-currency": "GBP", f"thresholds-{index}-above": above}
        data[f"thresholds-{index}-tier"] = tier
    return {**data, **WHY}


def errors(answer):
    form = answer.context["adminform"].form
    found = [*form.errors.values()]
    for formset in answer.context["inline_admin_formsets"]:
        found += [formset.formset.non_form_errors(), *(each.errors for each in formset.formset.forms)]
    return str(found)


def publish(browser, draft):
    """Look at what changes, then publish just that."""
    seen = browser.get(page(draft, "publish")).context["seen"]
    return browser.post(page(draft, "publish"), {**WHY, "seen": seen})
