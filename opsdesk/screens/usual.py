"""The usual length of things, from a bounded sample of the latest that finished."""

from django.db.models import DurationField, Subquery

SAMPLE = 1_000
ENOUGH = 20


class NineTenthsOf(Subquery):
    """What nine in ten of the column `took` of a sliced queryset stay within; NULL when fewer than ENOUGH are known."""

    template = (
        f"(SELECT CASE WHEN count(took) >= {ENOUGH} THEN percentile_cont(0.9) WITHIN GROUP (ORDER BY took) END "  # noqa: S608
        "FROM (%(subquery)s) AS sample)"
    )
    output_field = DurationField()
