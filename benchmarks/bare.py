"""What Django itself needs to insert one row and say so: the floor that intake is compared with."""

from django.db import models
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.access import public


class Bare(models.Model):
    """A row with nothing but the body."""

    body = models.BinaryField()

    class Meta:
        app_label = "opsdesk"
        managed = False
        db_table = "bench_bare"

    def __str__(self) -> str:
        return f"bare row {self.pk}"


@public
@csrf_exempt
def insert_one_row(request: HttpRequest) -> HttpResponse:
    """Store the body and answer. Public: it exists only while intake is being measured."""
    Bare.objects.create(body=request.body)
    return HttpResponse(status=202)
