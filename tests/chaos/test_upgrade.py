"""An upgrade under way: tables and web of this release beside processes of the one before. Long test."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsdesk.demo import cast
from opsdesk.demo.records import RefundRequest
from opsdesk.demo.shop import Shop
from opsdesk.embedded.addresses import ROOT
from opsdesk.embedded.desk import answers
from tests.chaos import ordinary, outcome
from tests.chaos.ordinary import FAST_TRACK, FULL_REVIEW, INSTANT
from tests.chaos.whole_desk import WholeDesk
from tests.plugins.desk import free_ports

KINDS = (INSTANT, FAST_TRACK, INSTANT, FULL_REVIEW)
EACH_PART = 100
CELERY = ("-m", "celery", "--app", "opsdesk")
# What code says that meets a table or a message it does not fit to.
MISFITS = ("UndefinedColumn", "UndefinedTable", "NotNullViolation", "CheckViolation", "KeyError", "FieldError")
pytestmark = pytest.mark.long


def git(*words: str) -> str:
    """What git says about this repository; "" when there is no history."""
    found = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def release_before() -> str:
    """The last release that is not this commit; before there was one, the code before the newest migration."""
    tag = git("describe", "--tags", "--abbrev=0", "HEAD^")
    newest = git("log", "-1", "--format=%H", "--", "*/migrations/0*.py")
    return tag or git("rev-parse", "--verify", f"{newest}^")


@pytest.fixture
def old_code(tmp_path: Path) -> Path:
    """The folder of the code before."""
    release = release_before()
    if not release:
        pytest.skip("There is no earlier code: this is no clone with its history.")
    packed, folder = tmp_path / "old.tar", tmp_path / "old"
    subprocess.run(["git", "archive", "--output", str(packed), release], cwd=ROOT, check=True)
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    print(f"Old code is {git('log', '-1', '--format=%h %s', release)}")
    return folder


@contextmanager
def old_process(desk: WholeDesk, code: Path, *words: str) -> Iterator[Path]:
    """A process of the old code on the desk's servers; gives the file of what it writes."""
    log = code / f"{'-'.join(words[1:6]).replace('/', '')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=code, env=desk._environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield log
        assert process.poll() is None, log.read_text(errors="replace")[-3_000:]
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def requests_from(first: int) -> list[RefundRequest]:
    now = datetime.now(UTC)
    return [ordinary.request_for(number, KINDS[number % 4], at=now) for number in range(first, first + EACH_PART)]


def done(desk: WholeDesk) -> int:
    return desk.number("SELECT count(*) FROM workflows_case WHERE state = 'done'")


def test_old_and_new_code_side_by_side_finish_every_case(old_code: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    web = ("-m", "gunicorn", "opsdesk.wsgi:application", "--bind", f"127.0.0.1:{port}", "--threads", "4")
    with WholeDesk(tmp_path) as desk, ExitStack() as started:
        desk.run("-m", "tests.chaos.ordinary", str(2 * EACH_PART), log=tmp_path / "ordinary.log")
        desk.let_windows_end()
        old_shop = Shop(f"http://127.0.0.1:{port}/hooks/{cast.ORGANIZATION}/shop/", cast.SHOP_WEBHOOK_SECRET)

        # At first the old processes are alone with the new tables.
        held = [*desk.freeze("worker"), *desk.freeze("beat")]
        worker = (*CELERY, "worker", "--pool", "prefork", "--concurrency", "2", "--without-mingle", "--without-gossip")
        logs = [
            started.enter_context(old_process(desk, old_code, *words))
            for words in (worker, (*CELERY, "beat", "--scheduler", "celery.beat:Scheduler"), web)
        ]
        desk.wait_until(lambda: answers(port), "the old web process never answered", seconds=90)
        for request in requests_from(0):
            assert old_shop.deliver(request).status == 202
        desk.come_to_rest(seconds=240)
        assert done(desk) == EACH_PART * 3 // 4

        # Then both kinds share the work.
        for process in held:
            process.resume()
        for number, request in enumerate(requests_from(EACH_PART)):
            assert (old_shop if number % 2 else desk.shop).deliver(request).status == 202
        desk.come_to_rest(seconds=240)
        written = {log: log.read_text(errors="replace") for log in logs}

        ends = outcome.assert_every_case_came_to_rest(desk, requests=2 * EACH_PART)
        assert ends == {"done": EACH_PART * 3 // 2, "waits for a named person": EACH_PART // 2}
        assert outcome.assert_effects_fit(desk) == EACH_PART * 3 // 2
        outcome.assert_invariants_hold(desk, tmp_path)
    for text in (*written.values(), desk.output):
        assert not [misfit for misfit in MISFITS if misfit in text], text[-6_000:]
