"""Writing notices, in the transaction of the change they tell of: who is told, over which ways, and when."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q

from accounts.models import Organization, User
from integrations.models import ChatChannel, Notice, NoticePolicy, NoticeSettings
from integrations.models.chat import PRESSING_BY_DEFAULT
from integrations.notices.kinds import UNDELIVERED, kind_of
from integrations.notices.timing import Going, Hours, going
from integrations.states import NoticeState
from opsdesk.lib import clock, queue
from workflows.models import Case


def tell(recipients: list[User], *, case: Case, topic: str, subject: str, body: str, path: str) -> None:
    """Tell people in the app and as each wants it, once a topic; called inside the transaction of the change."""
    common = {
        "organization_id": case.organization_id,
        "subject": subject[:160],
        "body": body,
        "path": path,
        "case": case,
        "topic": topic,
    }
    _write(recipients, common, organization_id=case.organization_id, kind=kind_of(topic))


def tell_of_undelivered(recipients: list[User], *, common: dict[str, Any]) -> None:
    """Tell managers, in the app alone, that notices do not arrive: what failed may be the way to them as well."""
    rows = [_in_the_app(user, {**common, "topic": f"{UNDELIVERED}:{common['topic']}"[:60]}) for user in recipients]
    Notice.objects.bulk_create(rows, ignore_conflicts=True)


def _write(recipients: Sequence[User], common: dict[str, Any], *, organization_id: int, kind: str) -> None:
    if not recipients:
        return
    wants = _Wants(recipients, organization_id, kind)
    rows = []
    for user in recipients:
        rows.append(_in_the_app(user, common))
        plan = wants.plan(user, "mail") if user.email else None
        if plan is not None:
            rows.append(_outward(plan, common, recipient=user, channel=Notice.Channel.MAIL))
        plan = wants.plan(user, "chat") if user.pk in wants.chats else None
        if plan is not None:
            rows += [
                _outward(plan, common, recipient=user, channel=Notice.Channel.CHAT, chat=chat)
                for chat in wants.chats[user.pk]
            ]
    at_once = Going(wants.now, bundled=False)
    rows += [_outward(at_once, common, channel=Notice.Channel.CHAT, chat=chat) for chat in wants.shared]
    Notice.objects.bulk_create(rows, ignore_conflicts=True)
    queue.ring("integrations.deliver_notices")


def _in_the_app(user: User, common: dict[str, Any]) -> Notice:
    now = clock.now()
    delivered = {"state": NoticeState.DELIVERED, "due_at": None, "delivered_at": now}
    return Notice(recipient=user, channel=Notice.Channel.APP, **delivered, **common)


def _outward(plan: Going, common: dict[str, Any], **way: Any) -> Notice:
    # What goes out at once is due by the database's clock, which decides what is due.
    when = {"due_at": plan.at, "bundled": True} if plan.bundled else {}
    return Notice(**when, **way, **common)


class _Wants:
    """How some people want a kind of notice, read in three statements however many they are."""

    def __init__(self, recipients: Sequence[User], organization_id: int, kind: str) -> None:
        self.now: datetime = clock.now()
        self._kind = kind
        people = [user.pk for user in recipients]
        settings = NoticeSettings.objects.filter(organization_id=organization_id, user__in=people)
        self._settings = {row.user_id: row for row in settings}
        organization = Organization.objects.select_related("notice_policy").get(pk=organization_id)
        self._zone = organization.time_zone
        policy: NoticePolicy | None = getattr(organization, "notice_policy", None)
        self._presses = kind in (policy.pressing if policy else PRESSING_BY_DEFAULT)
        self.chats: dict[int, list[ChatChannel]] = {}
        self.shared: list[ChatChannel] = []
        of_all = Q(person=None, kinds__contains=[kind]) & (Q(team=None) | Q(team__members__in=people))
        found = ChatChannel.objects.in_use().filter(Q(person__in=people) | of_all, organization_id=organization_id)
        for channel in found.distinct():
            if channel.person_id is None:
                self.shared.append(channel)
            else:
                self.chats.setdefault(channel.person_id, []).append(channel)

    def plan(self, user: User, way: str) -> Going | None:
        """When it goes to a person over mail or chat; None when they do not want it so."""
        settings = self._settings.get(user.pk) or NoticeSettings()
        return going(settings.how(self._kind, way), hours_of(settings, self._zone), self.now, presses=self._presses)


def hours_of(settings: NoticeSettings, zone: str) -> Hours:
    """A person's clock; `zone` is the organization's."""
    return Hours(ZoneInfo(settings.time_zone or zone), settings.daily_at, settings.quiet_from, settings.quiet_until)
