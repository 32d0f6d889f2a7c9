"""The API: what programs do with the desk, by the same services as its screens."""

from opsdesk.api import cases, reviews, runs
from opsdesk.api.desk import api, urls

__all__ = ["api", "cases", "reviews", "runs", "urls"]
