"""Indexes for finding cases by reference, amount and words, made while the desk goes on."""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import migrations, models
from django.db.models.functions import Concat, Upper

from opsdesk.lib.migrating import AddIndexPatiently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("workflows", "0017_trigrams")]

    operations = [
        AddIndexPatiently(
            model_name="case",
            index=models.Index(fields=["organization", "key"], name="workflows_case_by_key"),
        ),
        AddIndexPatiently(
            model_name="case",
            index=models.Index(
                fields=["organization", "currency", "amount_minor", "-id"], name="workflows_case_by_amount"
            ),
        ),
        AddIndexPatiently(
            model_name="case",
            index=models.Index(fields=["organization", "-id"], name="workflows_case_list"),
        ),
        AddIndexPatiently(
            model_name="case",
            index=GinIndex(
                OpClass(
                    Upper(
                        Concat(
                            "key",
                            models.Value(" "),
                            "party",
                            models.Value(" "),
                            "party_name",
                            models.Value(" "),
                            "target",
                            models.Value(" "),
                            "reason",
                            models.Value(" "),
                            "requested_by",
                            output_field=models.TextField(),
                        )
                    ),
                    name="gin_trgm_ops",
                ),
                name="workflows_case_words",
            ),
        ),
        AddIndexPatiently(
            model_name="run",
            index=models.Index(
                name="workflows_run_by_state",
                fields=["organization", "state", "-id"],
                condition=~models.Q(state="succeeded"),
            ),
        ),
        AddIndexPatiently(
            model_name="run",
            index=models.Index(
                name="workflows_run_tried_again",
                fields=["organization", "waiting_since"],
                condition=models.Q(state="waiting", waits_for__in=["retry", "connection"]),
            ),
        ),
    ]
