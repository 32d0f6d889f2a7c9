"""Tests that need something from outside the project: a browser, or processes written by others.

Where it is missing they are skipped, and the last lines of the run say which and how to get it. With
OPSDESK_REQUIRE_ALL=1 a run that had to skip one of them, or met none of them, fails.
"""

import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Whom `@pytest.mark.contract("…")` may name, and the variable that says where it is:
# the folder of the npm package, and the command.
OUTSIDERS = {"stripe-stateful-mock": "OPSDESK_STRIPE_MOCK", "localstripe": "OPSDESK_LOCALSTRIPE"}
HOW_TO_GET = {
    "browser": "They need Chromium: install it (Debian: `apt-get install chromium`) or name it in CHROMIUM.",
    "contract": "They need programs written by others: `.ci/run` installs them and says where they are.",
}
_seen: dict[str, Counter[str]] = {kind: Counter() for kind in HOW_TO_GET}


def find_chromium() -> str | None:
    """The browser that the tests drive: the one named in CHROMIUM, else one that is installed."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in BROWSERS if (found := shutil.which(name))), None)


def has_playwright() -> bool:
    """Whether the packages of requirements/browser.txt are installed."""
    return importlib.util.find_spec("playwright") is not None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without its packages the browser tests cannot even be imported."""
    return True if collection_path == config.rootpath / "tests" / "browser" and not has_playwright() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here."""
    for item in items:
        reason = _missing_for(item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _missing_for(item: pytest.Item) -> str | None:
    if item.get_closest_marker("browser") and not (find_chromium() and has_playwright()):
        return "no Chromium was found" if has_playwright() else "the browser packages are not installed"
    contract = item.get_closest_marker("contract")
    for name in contract.args if contract else ():
        if not os.environ.get(OUTSIDERS[name]):
            return f"{OUTSIDERS[name]} does not say where {name} is"
    return None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count, in the process that sees every report."""
    for kind, seen in _seen.items():
        if kind in report.keywords and (report.skipped or report.when == "call"):
            seen[report.outcome] += 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """As the very last lines, say what was left out; fail the run that must not leave anything out."""
    yield
    if "PYTEST_XDIST_WORKER" in os.environ or session.config.option.collectonly:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for line in _left_out():
        if reporter:
            reporter.write_line(line, yellow=not _strict(), red=_strict())
        if _strict():
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def _strict() -> bool:
    return os.environ.get("OPSDESK_REQUIRE_ALL") == "1"


def _left_out() -> list[str]:
    lines = []
    for kind, seen in _seen.items():
        if seen["skipped"]:
            lines.append(f"{seen['skipped']} {kind} tests were skipped. {HOW_TO_GET[kind]}")
        elif _strict() and not seen:
            lines.append(f"No {kind} test was run, and OPSDESK_REQUIRE_ALL=1 asks for them. {HOW_TO_GET[kind]}")
    if not has_playwright() and not _strict():
        lines.append("tests/browser was left out. Without OPSDESK_NO_BROWSER=1 `make test` installs its packages.")
    return lines
