"""A process is killed at every crash point: nothing is lost, nothing is done twice, nothing stays lying."""

from collections import Counter
from collections.abc import Iterator

import pytest

from opsdesk.lib.crashing import POINTS
from tests.chaos.mortal import Errands, Town, assert_sound, tell_story
from tests.plugins.line import Line
from tests.plugins.sandbox import Gateway, Inbox

TIMES = 20
FAMILIES = list(dict.fromkeys(point.partition(".")[0] for point in POINTS))


@pytest.fixture(scope="module")
def errands(
    django_db_setup: None,
    gateway_process: Gateway,
    inbox_process: Inbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Errands]:
    """The processes that work, loaded once."""
    log = tmp_path_factory.mktemp("errands") / "errands.log"
    errands = Errands(gateway_process, inbox_process, log)
    yield errands
    errands.end()


@pytest.fixture(scope="module")
def hits() -> Counter[str]:
    """How often a process has died where."""
    return Counter()


@pytest.fixture
def town(committed_line: Line, inbox: Inbox, errands: Errands, hits: Counter[str]) -> Town:
    """A desk where everything is well so far."""
    return Town(committed_line, inbox, errands, hits)


def points_of(family: str) -> list[str]:
    return [point for point in POINTS if point.startswith(f"{family}.")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_process_dies_at_each_point_and_all_is_well_afterwards(town: Town, family: str) -> None:
    tell_story(town, *points_of(family))

    assert set(town.hits) >= set(points_of(family))
    assert_sound(town)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_processes_die_20_times_at_each_point_and_all_is_well_afterwards(town: Town, family: str) -> None:
    before = Counter(town.hits)
    for _ in range(TIMES):
        tell_story(town, *points_of(family))

    assert_sound(town)
    assert {town.hits[point] - before[point] for point in points_of(family)} == {TIMES}
    print(f"{family}: {TIMES} times at each of {', '.join(points_of(family))}")
