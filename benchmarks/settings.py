"""The desk's settings with one more address: a bare view to compare with."""

from opsdesk.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.urls"
