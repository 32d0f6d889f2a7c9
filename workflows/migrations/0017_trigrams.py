"""Three-letter pieces of texts, for the search; where the owner may not create the extension, somebody did before."""

from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("workflows", "0016_bulk_stamps")]

    operations = [TrigramExtension()]
