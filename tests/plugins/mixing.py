"""The order of the files: those that start whole desks, which mostly wait, among those that mostly compute.

Files go to the processes of a session in this order. By default the longest lists of tests would go first, and the
whole desks, of which a file has few, would be left to the end, where nothing else runs beside them.
"""

from collections.abc import Iterable
from itertools import groupby

import pytest

_WAITING = ("tests/chaos/", "tests/ground/")
# Within this share of the session all of them have begun.
_EARLY = 0.7


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread them; the tests of a file stay together and in their order."""
    files = {name: list(tests) for name, tests in groupby(sorted(items, key=_file), key=_file)}
    waiting = [name for name in files if name.startswith(_WAITING)]
    computing = [name for name in files if name not in waiting]
    items[:] = [item for name in spread(computing, waiting) for item in files[name]]


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def spread(many: list[str], few: list[str]) -> Iterable[str]:
    """All of them; each of the few stands at its place in the first part of the many."""
    step = _EARLY * len(many) / max(1, len(few))
    places = [(float(place), name) for place, name in enumerate(many)]
    places += [(place * step - 0.5, name) for place, name in enumerate(few)]
    return [name for _, name in sorted(places)]
