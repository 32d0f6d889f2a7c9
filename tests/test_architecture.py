"""What holds everywhere in the source: where money, states, grants and calls may stand, and how large a part is."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.apps import apps
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import models, transaction

from integrations import sending
from integrations.errors import CallFailed
from integrations.gateways import gateway_of
from integrations.models import Action, Connection
from integrations.states import ActionState
from opsdesk.celery import app as celery
from tests.factories import make_action, make_case, make_desk, make_run
from tests.plugins.calls import CalledInTransaction

ROOT = Path(settings.BASE_DIR)
ROOMS = ("accounts", "approvals", "auditlog", "integrations", "opsdesk", "workflows")
# The pretend outside world is no part of the desk.
SANDBOX = "opsdesk/sandbox/"
LONGEST_MODULE, LONGEST_FUNCTION, LONGEST_TEMPLATE = 400, 60, 120
LONGEST_DELAY_SECONDS = 60


def sources() -> dict[str, ast.Module]:
    """Every module of the desk by its path, migrations left out."""
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    named = {path.relative_to(ROOT).as_posix(): path for path in files if path.parent.name != "migrations"}
    return {name: ast.parse(path.read_text()) for name, path in named.items() if not name.startswith(SANDBOX)}


SOURCES = sources()
Finds = Callable[[ast.Module], Iterator[ast.AST]]


def places(finds: Finds, *, within: re.Pattern[str] | None = None) -> list[str]:
    """Where something is found, as `path:line`."""
    return [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name, tree in SOURCES.items()
        if within is None or within.search(name)
        for node in finds(tree)
    ]


def modules(found: list[str]) -> set[str]:
    return {place.partition(":")[0] for place in found}


def called(node: ast.AST) -> str:
    """The words of what a call calls: “Model.objects.create”, “app.send_task”; empty for anything else."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def test_the_whole_desk_is_looked_at():
    assert len(SOURCES) > 150
    assert {name.partition("/")[0] for name in SOURCES} == set(ROOMS)


# --- money -----------------------------------------------------------------------------------------------------------

# Modules that compute amounts. Shares and pictures are computed elsewhere, and only from amounts, never into them.
MONEY = re.compile(
    r"^opsdesk/lib/money\.py$"
    r"|^integrations/(mirroring|recording|sending|gateways|evidence|lines|facts|strictjson)\.py$"
    r"|^integrations/(connectors/.*|steps/.*|models/.*)\.py$"
    r"|^approvals/(grants|opening|policies|services|thresholds|timers|filters)\.py$"
    r"|^approvals/(steps|models)/.*\.py$"
    r"|^workflows/(cases|rules|facts)\.py$"
    r"|^workflows/(models|steps)/.*\.py$"
)


def floats(tree: ast.Module) -> Iterator[ast.AST]:
    """Whatever makes a float or is one; a division is fine where both sides are spelled out as Decimal."""
    for node in ast.walk(tree):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        if literal or (isinstance(node, ast.Name) and node.id in ("float", "round")):
            yield node
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
            if not all(called(side) == "Decimal" for side in sides):
                yield node


def test_no_float_comes_near_money():
    assert places(floats, within=MONEY) == []
    assert len([name for name in SOURCES if MONEY.search(name)]) > 30


@pytest.mark.parametrize("text", ["x = 1.0", "x = float(y)", "x = a / b", "x /= 3", "x = Decimal(a) / 3", "round(x)"])
def test_the_search_for_floats_finds_each_kind(text: str):
    assert list(floats(ast.parse(text)))


def amounts_divided(tree: ast.Module) -> Iterator[ast.AST]:
    """Divisions that have an amount of money in them."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and re.search(r"minor|amount", ast.unparse(node))
        ):
            yield node


def test_amounts_are_divided_into_one_share_only():
    """The order's share, a Decimal that rules compare and nothing is paid by; the pretend shop's prices; drawings."""
    drawn = {"approvals/views/banding.py", "approvals/views/sliding.py"}
    assert modules(places(amounts_divided)) == {"integrations/facts.py", "opsdesk/demo/shop.py", *drawn}


def test_columns_of_money_hold_whole_numbers():
    fields = [field for model in apps.get_models() for field in model._meta.concrete_fields]
    money = [field for field in fields if field.name.endswith("_minor")]

    assert len(money) > 10
    assert [str(field) for field in money if not isinstance(field, models.BigIntegerField)] == []
    assert [str(field) for field in fields if isinstance(field, models.FloatField)] == []


# --- states, grants, signals -----------------------------------------------------------------------------------------


def states_assigned(tree: ast.Module) -> Iterator[ast.AST]:
    """`anything.state = …`."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Attribute) and target.attr == "state":
                yield node


def states_updated(tree: ast.Module) -> Iterator[ast.AST]:
    """`rows.update(state=…)`."""
    for node in ast.walk(tree):
        if called(node).endswith(".update") and any(word.arg == "state" for word in node.keywords):  # type: ignore[attr-defined]
            yield node


def test_states_are_written_in_one_place():
    """`move_to` decides by one guarded update; runs are claimed, woken and given back by others of the kind."""
    assert modules(places(states_assigned)) == {"opsdesk/lib/states.py"}
    assert modules(places(states_updated)) <= {
        "opsdesk/lib/states.py",
        "workflows/engine/running.py",
        "workflows/engine/repairing.py",
        "workflows/engine/turns.py",
    }


def grants_written(tree: ast.Module) -> Iterator[ast.AST]:
    """A new Authorization, or one that is changed."""
    writes = re.compile(r"\bAuthorization(\(|\.objects\b.*\.(create|bulk_create|get_or_create|update\w*|delete)\()")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and writes.match(ast.unparse(node)):
            yield node


def test_only_the_room_of_approvals_authorizes():
    assert modules(places(grants_written)) == {"approvals/grants.py"}


@pytest.mark.parametrize(
    "text",
    ["Authorization(case=1)", "Authorization.objects.create(case=1)", "Authorization.objects.filter(pk=1).update()"],
)
def test_the_search_for_grants_finds_each_kind(text: str):
    assert list(grants_written(ast.parse(text)))


def signals_heard(tree: ast.Module) -> Iterator[ast.AST]:
    """Imports of Django's signals, or of what makes one."""
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if any(re.search(r"django\..*\bsignals$|^django\.dispatch", name) for name in names):
            yield node


def test_nothing_happens_by_signals():
    """What a change brings about stands where the change is made.

    The audit log alone hears of new connections and of the end of migrations, which are no changes of rows.
    """
    assert modules(places(signals_heard)) == {"auditlog/apps.py"}
    assert list(signals_heard(ast.parse("from django.db.models.signals import post_save")))
    assert list(signals_heard(ast.parse("from django.dispatch import receiver")))


# --- tasks -----------------------------------------------------------------------------------------------------------


def messages_sent(tree: ast.Module) -> Iterator[ast.AST]:
    """Whatever puts a task into the broker, now or later."""
    for node in ast.walk(tree):
        last = called(node).rpartition(".")[2]
        late = isinstance(node, ast.Call) and any(word.arg in ("countdown", "eta") for word in node.keywords)
        if last in ("send_task", "apply_async", "delay", "delay_on_commit", "apply_async_on_commit") or late:
            yield node


def test_tasks_are_rung_for_in_one_place_and_never_for_later():
    """Waiting stands in rows; a message with an ETA is repeated by Redis and forgotten by a restart."""
    assert modules(places(messages_sent)) == {"opsdesk/lib/queue.py"}
    assert list(messages_sent(ast.parse("ring(1, countdown=3600)")))


def test_every_task_is_a_door_with_a_name_of_its_own():
    celery.loader.import_default_modules()
    tasks = {name: task for name, task in current_app.tasks.items() if not name.startswith("celery.")}

    assert len(tasks) >= 5
    assert {name.partition(".")[0] for name in tasks} <= {*ROOMS, "tests"}
    # Lost, late or doubled, a message says only when to look: what to look at stands in rows.
    arguments = {name: list(inspect.signature(task.run).parameters) for name, task in tasks.items()}
    assert {name: taken for name, taken in arguments.items() if taken} == {}
    assert [name for name, task in tasks.items() if getattr(task, "autoretry_for", ())] == []


def test_what_beats_beats_often_and_is_not_kept():
    for name, entry in celery.conf.beat_schedule.items():
        assert entry["schedule"] <= LONGEST_DELAY_SECONDS, name
        assert entry["options"]["expires"] <= LONGEST_DELAY_SECONDS, name
        assert not {"countdown", "eta"} & set(entry["options"]), name
        assert entry["task"] in celery.tasks, name


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("call", ["http", "mail", "threads"])
def test_a_call_while_a_transaction_is_open_is_noticed(call: str, settings: Any):
    """What all tests are run with; here, that it does notice."""
    settings.OUTBOUND_EXCEPTIONS = ["127.0.0.1:9"]
    organization, _ = make_desk()
    connection = Connection.objects.get(organization=organization)
    make_action(make_run(make_case(organization)))
    gateway = gateway_of(connection)
    calls = {
        "http": lambda: gateway.payment("pi_1"),
        "mail": EmailMessage("Subject", "Text", to=["ada@desk.example"]).send,
        "threads": sending.send_due,
    }

    with pytest.raises(CalledInTransaction), transaction.atomic():
        calls[call]()

    if call == "http":
        with pytest.raises(CallFailed):
            gateway.payment("pi_1")
    assert set(Action.objects.values_list("state", flat=True)) == {ActionState.RESERVED}


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_modules_functions_and_templates_stay_small():
    long = []
    for name, tree in SOURCES.items():
        lines = len((ROOT / name).read_text().splitlines())
        long += [f"{name}: {lines}"] if lines > LONGEST_MODULE else []
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                long += [f"{name}: {node.name}: {length}"] if length > LONGEST_FUNCTION else []
    for path in (ROOT / "templates").rglob("*.html"):
        lines = len(path.read_text().splitlines())
        long += [f"{path.name}: {lines}"] if lines > LONGEST_TEMPLATE else []

    assert long == []
