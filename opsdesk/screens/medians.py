"""The usual length of things, from a bounded sample of the latest that finished."""

from django.db.models import DurationField, Subquery

SAMPLE = 1_000
ENOUGH = 20


class MedianOf(Subquery):
    """The median of the column `took` of a sliced queryset; NULL when there are fewer than ENOUGH rows."""

    template = (
        f"(SELECT CASE WHEN count(*) >= {ENOUGH} THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY took) END "  # noqa: S608
        "FROM (%(subquery)s) AS sample)"
    )
    output_field = DurationField()
