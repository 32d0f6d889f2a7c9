"""Whether an action can be taken back now, by what, and what is the next best where it cannot."""

from dataclasses import dataclass

from integrations.models import Action, Connection, Refund, Reversal
from integrations.operations import Operation, declared_by, operation_of
from integrations.states import REVERSAL_STANDING, ActionState, Way
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from opsdesk.lib.wording import span

ASKS = "post"  # the operation by which money is asked back
_DOUBTFUL = "Only what was seen outside can be taken back, and this is not verified: {state}."


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to meet an action now. `refusal` says why not, "" when it can be asked for."""

    way: Way
    refusal: str
    connection: Connection | None = None
    operation: str = ""

    @property
    def possible(self) -> bool:
        return not self.refusal


def declaration_of(action: Action) -> Operation | None:
    """What the action's operation declares, as it is over its connection now."""
    return operation_of(action.connection, action.operation)


def worth(action: Action) -> Money | None:
    """The amount that consent to a reversal is over: what moved, else what its case is about."""
    return action.amount or action.case.amount


def offers(action: Action, standing: Reversal | None) -> list[Offer]:
    """What can be done about an action: taking it back, and where that is refused and money is out, asking for it."""
    declared = declaration_of(action)
    if declared is None or declared.takes_back or action.state in (ActionState.RESERVED, ActionState.FAILED):
        return []
    taken = standing is not None and standing.state in REVERSAL_STANDING
    if standing is not None and taken:
        return [Offer(Way.TAKE_BACK, standing.words)]
    refusal = _why_not(action, declared)
    found = [Offer(Way.TAKE_BACK, refusal, action.connection, declared.reversal.by)]
    if refusal and action.moves_money and action.state == ActionState.VERIFIED:
        channel = channel_of(action.organization_id)
        no_channel = "" if channel else "Connect a system by webhook that passes on to the customer what the desk asks."
        found.append(Offer(Way.ASK_BACK, no_channel, channel, ASKS))
    return found


def offer_of(action: Action, way: Way, standing: Reversal | None) -> Offer:
    """The offer of one way, with a refusal where there is none."""
    found = next((offer for offer in offers(action, standing) if offer.way == way), None)
    return found or Offer(way, "There is nothing to take back.")


def _why_not(action: Action, declared: Operation) -> str:
    reversal = declared.reversal
    if not reversal.by or operation_of(action.connection, reversal.by) is None:
        return " ".join(filter(None, [reversal.how, reversal.instead]))
    if worth(action) is None:
        return "Its case is about no amount, and consent is given over one."
    if reversal.while_held:
        held = Refund.objects.filter(
            payment=action.payment_id,
            reference=action.external_reference,
            status=Refund.Status.PENDING,
            cancelable=True,
        )
        if action.state != ActionState.SUCCEEDED or not held.exists():
            return f"It could be taken back only {reversal.until_words}. {reversal.instead}".strip()
        return ""
    if action.state != ActionState.VERIFIED:
        return _DOUBTFUL.format(state=action.get_state_display().lower())
    since = action.succeeded_at or action.created_at
    if reversal.within is not None and clock.now() > since + reversal.within:
        return f"It could be taken back for {span(reversal.within)}, which are over. {reversal.instead}".strip()
    return ""


def channel_of(organization_id: int) -> Connection | None:
    """The connection through which the desk can ask a customer for money back, if there is one."""
    able = Connection.objects.filter(
        organization_id=organization_id, connector__in=declared_by(ASKS), enabled=True, acting_enabled=True
    )
    return able.order_by("pk").first()
