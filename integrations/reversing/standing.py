"""Which actions were taken back, or are to be: asked by whoever looks at an action."""

from collections.abc import Collection

from integrations.models import Reversal
from integrations.states import ReversalState, Way


def of_actions(action_ids: Collection[int]) -> dict[int, Reversal]:
    """The newest reversal of each of these actions, by the action's key."""
    rows = Reversal.objects.filter(original__in=action_ids).select_related("asked_by").order_by("pk")
    return {row.original_id: row for row in rows}


def taken_back_words(action_id: int) -> str:
    """That an action was taken back, and by which case; "" when it was not."""
    done = Reversal.objects.filter(original=action_id, state=ReversalState.DONE, way=Way.TAKE_BACK).first()
    return done.words if done is not None else ""


def standing_among(case_ids: Collection[int]) -> set[int]:
    """Those of these cases that took something back, or may have: they are not decided anew."""
    acting = Reversal.objects.standing().filter(case__in=case_ids, action__isnull=False)
    return set(acting.values_list("case_id", flat=True))
