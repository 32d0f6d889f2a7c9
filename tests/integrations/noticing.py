"""Notices and channels as they stand in an organization that uses them."""

from accounts.models import Organization
from integrations.models import ChatChannel, Notice, NoticePolicy
from integrations.states import NoticeState
from opsdesk.lib import clock
from tests.factories import Cast, make_case


def make_channel(organization: Organization, **fields: object) -> ChatChannel:
    """A channel of everybody, or of whom the fields say."""
    given = {"name": "Refunds", "shown": "Slack", "kinds": ["ladder"], **fields}
    channel = ChatChannel(organization=organization, **given)
    channel.set_address("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    channel.save()
    return channel


def make_notices(organization: Organization, cast: Cast, *, text: str = "Ben mentions you") -> None:
    """Told in the app, delivered by mail, given up in a chat, and a channel that was tested."""
    NoticePolicy.objects.get_or_create(organization=organization)
    case = make_case(organization)
    rows = []
    for user in cast:
        own = make_channel(organization, person=user, kinds=[], name=text[:60])
        common = {
            "organization": organization, "recipient": user, "subject": text[:160], "body": text, "path": "/stalled/",
            "case": case, "topic": "mention:0",
        }  # fmt: skip
        arrived = {"state": NoticeState.DELIVERED, "due_at": None, "delivered_at": clock.now()}
        rows += [
            Notice(channel="app", **arrived, **common),
            Notice(channel="mail", **arrived, **common),
            Notice(channel="chat", chat=own, state=NoticeState.FAILED, due_at=None, message=text[:200], **common),
        ]
    shared = make_channel(organization)
    tested = {
        "organization": organization, "subject": "A test", "body": "A test", "path": "/", "topic": f"test:{shared.pk}:1"
    }  # fmt: skip
    rows.append(
        Notice(channel="chat", chat=shared, state=NoticeState.FAILED, due_at=None, message=text[:200], **tested)
    )
    Notice.objects.bulk_create(rows)
