"""An index for finding customers by a part of their names, made while the desk goes on."""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import migrations
from django.db.models.functions import Upper

from opsdesk.lib.migrating import AddIndexPatiently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("integrations", "0009_reversals"), ("workflows", "0017_trigrams")]

    operations = [
        AddIndexPatiently(
            model_name="customer",
            index=GinIndex(OpClass(Upper("name"), name="gin_trgm_ops"), name="integrations_customer_words"),
        ),
    ]
