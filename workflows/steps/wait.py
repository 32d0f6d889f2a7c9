"""The step kind `wait`: for a time, for working hours, until a fact holds, or until an event of the case arrives.

Its settings are exactly one of

    for_minutes: 90                 minutes as they pass
    business_minutes: 240           minutes of the organization's business calendar
    next_working_day: "09:00"       the next working day at that time on the wall
    until: [conditions]             until they hold, as rules have them (match: all or any);
                                    looked at again every `every_minutes`, and when the payment changes
    event: parcel.received          until an event of that type names the case's key

and, for the last two, `at_most_hours`, after which the run stops for a person (`then: fail`) or goes on (`go_on`).
What is kept from turn to turn is when the wait ends at the latest: a calendar that changes meanwhile does not move it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

from accounts.calendar import Hours, hours_of
from accounts.models import Organization
from opsdesk.lib.wording import moment, span
from workflows import registry, rules
from workflows.engine.context import RunContext
from workflows.engine.definitions import StepDefinition
from workflows.engine.outcomes import Done, Outcome
from workflows.engine.outcomes import Wait as Waiting
from workflows.errors import StepFailed
from workflows.models import Event, WorkflowVersion
from workflows.states import FailureKind, WaitsFor

Config = Mapping[str, Any]
WAYS = ("for_minutes", "business_minutes", "next_working_day", "until", "event")
_MORE = {"until": ("match", "every_minutes", "at_most_hours", "then"), "event": ("at_most_hours", "then")}
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
MOST_MINUTES = 366 * 24 * 60
MOST_HOURS = 366 * 24
_EVERY_MINUTES = 15


class Wait:
    """Lets the run rest, and says until when or for what."""

    name = "wait"
    asks_outside = True  # looking at facts again gathers them again
    moves_money = False
    starts_over = False

    def check(self, config: Config) -> list[str]:
        """One way to wait, and what belongs to it."""
        ways = [way for way in WAYS if way in config]
        if len(ways) != 1:
            return [f"wait has exactly one of {', '.join(WAYS)}."]
        way = ways[0]
        strange = [f"wait has no setting “{name}” beside {way}." for name in config if name not in (way, *_more(way))]
        problems = [*strange, *_check_way(way, config)]
        if way in _MORE:
            if not _whole(config.get("at_most_hours"), MOST_HOURS):
                problems.append(f"at_most_hours is a whole number from 1 to {MOST_HOURS}: no wait is for ever.")
            if config.get("then") not in ("fail", "go_on"):
                problems.append("then is fail or go_on: what follows when the hours are over.")
        return problems

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Gather again for the runs that have waited for a fact since an earlier turn."""
        again = [context for context in contexts if context.run.kept and "until" in context.step.config]
        asking = [replace(context, step=_gather_before(context)) for context in again]
        if asking:
            registry.step_kinds["gather"].fetch(asking)
        for context, asked in zip(again, asking, strict=True):
            context.fetched = asked.fetched

    def perform(self, context: RunContext) -> Outcome:
        """Wait, or go on when what was waited for is there. Raises StepFailed when it did not come in time."""
        config = context.step.config
        if "until" in config:
            return _for_fact(context, config)
        if "event" in config:
            return _for_event(context, config)
        return _for_time(context, config)


def _more(way: str) -> tuple[str, ...]:
    return _MORE.get(way, ())


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _check_way(way: str, config: Config) -> list[str]:
    value = config[way]
    match way:
        case "for_minutes" | "business_minutes":
            return [] if _whole(value, MOST_MINUTES) else [f"{way} is a whole number from 1 to {MOST_MINUTES}."]
        case "next_working_day":
            sound = isinstance(value, str) and _TIME.fullmatch(value)
            return [] if sound else ["next_working_day is a time on the wall, such as “09:00”."]
        case "until":
            problems = rules.check(value)
            if config.get("match", "all") not in ("all", "any"):
                problems.append("match is all or any.")
            if not _whole(config.get("every_minutes", _EVERY_MINUTES), 24 * 60):
                problems.append("every_minutes is a whole number from 1 to 1440.")
            return problems
    if not isinstance(value, str) or len(value) > 60 or not _EVENT_TYPE.fullmatch(value):
        return ["event is an event's type, such as parcel.received."]
    taken = value in registry.news
    return [f"“{value}” is news for the desk itself and reaches no case."] if taken else []


def check_places(version: WorkflowVersion) -> list[str]:
    """Sentences about waits that stand where they could not do what they say."""
    problems, passed = [], set()
    steps = list(version.steps.order_by("position"))
    for place, step in enumerate(steps):
        if step.kind == "wait" and isinstance(step.config, dict):
            after = {later.kind for later in steps[place + 1 :]}
            if "until" in step.config and "gather" not in passed:
                problems.append(f"Step {step.key}: waiting for a fact needs a step of the kind gather before it.")
            if "until" in step.config and "decide" in passed and after & {"approve", "act"}:
                problems.append(
                    f"Step {step.key}: facts that change between decide and act would void the consent: wait before."
                )
            if step.config.get("event") in {version.opened_by, version.withdrawn_by} - {""}:
                problems.append(f"Step {step.key}: “{step.config['event']}” opens or withdraws a case already.")
        passed.add(step.kind)
    return problems


def _gather_before(context: RunContext) -> StepDefinition:
    before = context.definition.steps[: context.step.position]
    return next(step for step in reversed(before) if step.kind == "gather")


def _hours(context: RunContext) -> Hours:
    organization_id = context.run.organization_id
    return context.batch.remember(
        ("hours", organization_id), lambda: hours_of(Organization.objects.get(pk=organization_id))
    )


def _next(context: RunContext) -> str:
    """What follows this step, for the sentence on the run's page."""
    steps = context.definition.steps
    place = context.step.position + 1
    return f"the step {steps[place].key} follows" if place < len(steps) else "the case is done"


def _end(context: RunContext, length: timedelta | None = None) -> datetime:
    """When the wait ends at the latest, reckoned in its first turn and kept."""
    kept = context.run.kept
    if "end" not in kept:
        try:
            end = context.now + length if length is not None else _reckon(context)
        except ValueError as error:
            raise StepFailed(FailureKind.DATA, str(error)) from error
        context.run.kept = kept = {**kept, "end": end.isoformat()}
    return datetime.fromisoformat(kept["end"])


def _reckon(context: RunContext) -> datetime:
    config, hours = context.step.config, _hours(context)
    if "business_minutes" in config:
        return hours.add(context.now, timedelta(minutes=config["business_minutes"]))
    if "next_working_day" in config:
        return hours.next_working_day(context.now, time.fromisoformat(config["next_working_day"]))
    return context.now + timedelta(minutes=config["for_minutes"])


def _for_time(context: RunContext, config: Config) -> Outcome:
    end = _end(context)
    said = moment(end, _hours(context).zone)
    if end <= context.now:
        return Done(f"Waited until {said}.")
    if "business_minutes" in config:
        why = f"{span(timedelta(minutes=config['business_minutes']))} of working time"
    elif "next_working_day" in config:
        why = f"the next working day at {config['next_working_day']}"
    else:
        why = span(timedelta(minutes=config["for_minutes"]))
    return Waiting(WaitsFor.TIME, f"Waits for {why}, until {said}; then {_next(context)}.", end)


def _for_fact(context: RunContext, config: Config) -> Outcome:
    if context.fetched is not None:
        own, context.step = context.step, _gather_before(context)
        registry.step_kinds["gather"].perform(context)
        context.step = own
    conditions, match = config["until"], config.get("match", "all")
    said = rules.in_words(conditions, match)
    if rules.hold(conditions, match, context.facts):
        return Done(f"It holds: {said}.")
    end = _end(context, timedelta(hours=config["at_most_hours"]))
    if end <= context.now:
        return _over(context, config, f"It does not hold after {config['at_most_hours']} h: {said}.")
    every = timedelta(minutes=config.get("every_minutes", _EVERY_MINUTES))
    reason = f"Waits until {said}; looked at every {span(every)} and when the payment changes. {_at_last(context, end)}"
    return Waiting(WaitsFor.FACT, reason, min(context.now + every, end))


def _for_event(context: RunContext, config: Config) -> Outcome:
    kind = config["event"]
    # One that came before this step began has come.
    event = Event.objects.filter(case=context.case, type=kind).order_by("pk").only("pk", "received_at").first()
    if event is not None:
        return Done(f"{kind} arrived {moment(event.received_at, _hours(context).zone)}.")
    context.run.kept = {**context.run.kept, "event": kind}
    end = _end(context, timedelta(hours=config["at_most_hours"]))
    if end <= context.now:
        return _over(context, config, f"No {kind} arrived within {config['at_most_hours']} h.")
    return Waiting(WaitsFor.EVENT, f"Waits for {kind} about {context.case.key}. {_at_last(context, end)}", end)


def _at_last(context: RunContext, end: datetime) -> str:
    config = context.step.config
    follows = _next(context) if config["then"] == "go_on" else "it stops for a person"
    return f"At the latest {moment(end, _hours(context).zone)} {follows}."


def _over(context: RunContext, config: Config, words: str) -> Outcome:
    if config["then"] == "go_on":
        return Done(f"{words} Goes on without.")
    raise StepFailed(FailureKind.DATA, words)
