"""opsdesk: the desk from which an operations team runs its coordination work."""

from opsdesk.celery import app as celery_app

__all__ = ["celery_app"]
