"""Adding channels, taking them away, and sending a test: each by a person, each recorded."""

import uuid
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from accounts.models import Membership, Organization, Team, User
from accounts.roles import Permission
from auditlog.services import Actor, record
from integrations.chat import known
from integrations.errors import TooManyChannels
from integrations.models import ChatChannel, Notice
from integrations.notices.kinds import TEST
from opsdesk.lib import clock, queue

MOST_OF_ONE_PERSON = 5
MOST_SHARED = 50


@transaction.atomic
def add_own(by: Membership, *, name: str, address: str) -> ChatChannel:
    """A channel for oneself. Raises AddressRefused, TooManyChannels."""
    read = known.read(address)
    # Two at once wait for each other here, so that both are counted.
    User.objects.select_for_update().get(pk=by.user_id)
    if ChatChannel.objects.own_of(by).in_use().count() >= MOST_OF_ONE_PERSON:
        raise TooManyChannels
    channel = ChatChannel(organization_id=by.organization_id, person_id=by.user_id, name=name, shown=read.shown)
    return _added(channel, address, by)


@transaction.atomic
def add_shared(
    by: Membership, *, name: str, address: str, kinds: Sequence[str], team: Team | None = None
) -> ChatChannel:
    """A channel of a team, or of everybody, for some kinds of notice. Raises AddressRefused, TooManyChannels."""
    read = known.read(address)
    Organization.objects.select_for_update().get(pk=by.organization_id)
    if ChatChannel.objects.shared_in(by).in_use().count() >= MOST_SHARED:
        raise TooManyChannels
    channel = ChatChannel(organization_id=by.organization_id, team=team, name=name, shown=read.shown, kinds=list(kinds))
    return _added(channel, address, by)


def _added(channel: ChatChannel, address: str, by: Membership) -> ChatChannel:
    channel.set_address(address)
    channel.save()
    _tell(channel, "added", by, f"{channel.shown}.")
    return channel


def usable_by(member: Membership) -> Q:
    """Which channels a member may test and take away: their own, and shared ones where they look after connections."""
    mine = Q(person_id=member.user_id)
    return mine | Q(person=None) if member.may(Permission.CONNECT) else mine


def _usable(channel_id: int, by: Membership) -> ChatChannel:
    rows = ChatChannel.objects.in_use().filter(usable_by(by), organization_id=by.organization_id)
    return rows.select_for_update(of=("self",)).get(pk=channel_id)


@transaction.atomic
def remove(channel_id: int, *, by: Membership) -> ChatChannel:
    """Take a channel away and forget its address; what waits for it is given up. Raises ChatChannel.DoesNotExist."""
    channel = _usable(channel_id, by)
    channel.removed_at, channel.address = clock.now(), ""
    channel.save(update_fields=["removed_at", "address"])
    _tell(channel, "removed", by, f"{by.user} took it away.")
    return channel


@transaction.atomic
def send_test(channel_id: int, *, by: Membership) -> Notice:
    """Queue a test message; what became of it stands in its row. Raises ChatChannel.DoesNotExist."""
    channel = _usable(channel_id, by)
    notice = Notice.objects.create(
        organization_id=channel.organization_id,
        recipient_id=channel.person_id,
        channel=Notice.Channel.CHAT,
        chat=channel,
        subject="A test from the desk",
        body=f"{by.user} tries whether notices arrive here. There is nothing to do.",
        path=reverse("integrations:notices"),
        topic=f"{TEST}:{channel.pk}:{uuid.uuid4().hex[:12]}",
    )
    _tell(channel, "tested", by, "A test message is on its way.")
    queue.ring("integrations.deliver_notices")
    return notice


def _tell(channel: ChatChannel, verb: str, by: Membership, reason: str) -> None:
    whose = "its own person" if channel.person_id else str(channel.team or "everybody")
    record(
        f"integrations.chat_channel.{verb}",
        actor=Actor.person(by.user),
        organization_id=channel.organization_id,
        subject=("chat_channel", channel.pk),
        after={"name": channel.name, "leads_to": channel.shown, "for": whose, "kinds": channel.kinds},
        reason=reason,
    )
