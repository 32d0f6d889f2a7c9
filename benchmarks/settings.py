"""The desk's settings with what measuring needs: a step kind of its own, and a bare view to compare with."""

from opsdesk.settings import *  # noqa: F403
from opsdesk.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.apps.BenchmarksConfig"]
ROOT_URLCONF = "benchmarks.urls"
