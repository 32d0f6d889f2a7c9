"""Bulk operations as tests begin them, and what came of each item."""

from django.urls import reverse

from opsdesk.lib import errands
from tests import factories
from workflows.models import Bulk

RUNS = "/runs/"


BEGIN = "/bulk/begin/"


def jobs_asked_for(monkeypatch) -> list[int]:
    """A fixture: the jobs that were asked for; none of them runs by itself."""
    asked: list[int] = []
    monkeypatch.setattr(errands, "push", lambda name, job, key: asked.append(key))
    return asked


def some_runs(organization, count=3):
    return [factories.make_run(factories.make_case(organization)) for _ in range(count)]


def page(bulk, what=""):
    return reverse("workflows:bulk", args=[bulk.pk]) + what


def begun(client, **data) -> Bulk:
    response = client.post(BEGIN, {"kind": "runs.pause", **data})
    assert response.status_code == 302
    return Bulk.objects.get(pk=int(response.headers["Location"].strip("/").split("/")[-1]))


def results(bulk):
    return list(bulk.items.values_list("result", "sentence"))
