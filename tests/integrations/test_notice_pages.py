"""The pages about notices: what one was told, how one wants to be told, and the channels of teams."""

import pytest
from django.urls import reverse

from auditlog.models import Entry
from integrations.models import ChatChannel, Notice, NoticeSettings
from integrations.notices import deliver_due
from integrations.notices.forms import SettingsForm
from integrations.states import NoticeState
from opsdesk.lib import clock
from tests.factories import make_case
from tests.integrations.noticing import make_channel, make_notices
from tests.plugins.chatroom import Chatroom
from tests.plugins.pages import MOST_STATEMENTS, cost, text_of

NOTICES, SETTINGS = "/me/notices/", "/me/notices/settings/"
pytestmark = pytest.mark.django_db


def filled(**changes: str) -> dict[str, str]:
    """The form of the settings as it stands for somebody who chose nothing, with changes."""
    form = SettingsForm(row=NoticeSettings())
    values = {name: form[name].initial for name in form.fields}
    said = {name: value.strftime("%H:%M") if hasattr(value, "strftime") else value for name, value in values.items()}
    return {name: str(value) for name, value in {**said, **changes}.items() if value is not None}


def test_ones_own_notices_stand_there_with_every_way_they_went(organization, cast, sign_in):
    make_notices(organization, cast, text="Ben mentions\u202e you")

    page = text_of(sign_in(cast.ada).get(NOTICES))

    assert page.count("Ben mentions[U+202E] you") >= 2
    assert "Delivered" in page and "Given up" in page
    assert Notice.objects.filter(channel="app", read_at=None).count() == 5


def test_reading_is_said_by_a_button_and_counts_beside_the_navigation(organization, cast, sign_in):
    make_notices(organization, cast)
    client = sign_in(cast.ada)
    until = client.get(NOTICES).context["newest"]

    def number() -> int | None:
        groups = client.get(NOTICES).context["nav"].groups
        return next(item.count for group in groups for item in group.items if item.label == "Notices")

    assert number() == 1
    assert client.post(f"{NOTICES}read/", {"until": until}).status_code == 302
    assert number() == 0
    assert Notice.objects.filter(channel="app", read_at=None).count() == 4


def test_the_list_costs_the_same_however_long_it_is(organization, cast, sign_in):
    client = sign_in(cast.ada)
    make_notices(organization, cast)
    few = cost(client, NOTICES)
    case = make_case(organization)
    delivered = {"state": NoticeState.DELIVERED, "due_at": None, "delivered_at": clock.now()}
    for number in range(60):
        for channel in ("app", "mail"):
            Notice.objects.create(
                organization=organization, recipient=cast.ada, channel=channel, subject="S", body="B", path="/",
                case=case, topic=f"mention:{number + 1}", **delivered,
            )  # fmt: skip

    many = cost(client, NOTICES)

    assert many <= few <= MOST_STATEMENTS
    assert "Older" in text_of(client.get(NOTICES))


def test_what_one_chooses_is_saved_shown_again_and_recorded(organization, cast, sign_in):
    client = sign_in(cast.ada)
    chosen = {"mention:mail": "daily", "leaving:chat": "never", "quiet_from": "22:00", "quiet_until": "07:00"}

    assert client.post(SETTINGS, filled(**chosen, time_zone="America/New_York", most="5")).status_code == 302

    row = NoticeSettings.objects.get(user=cast.ada)
    assert row.rules == {"mention": {"mail": "daily"}, "leaving": {"chat": "never"}}
    assert (row.most, row.time_zone, f"{row.quiet_from:%H:%M}") == (5, "America/New_York", "22:00")
    page = client.get(SETTINGS).content.decode()
    assert '<option value="daily" selected>' in page and 'value="22:00"' in page
    assert Entry.objects.filter(verb="integrations.notice_settings.changed").count() == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"quiet_from": "22:00"}, "Say both, or neither."),
        ({"quiet_from": "22:00", "quiet_until": "22:00"}, "Quiet hours end at another time"),
        ({"time_zone": "Moon/Base"}, "No zone is called so"),
        ({"most": "0"}, "greater than or equal to 1"),
        ({"leaving:mail": "daily"}, "is not one of the available choices"),
        ({"mention:mail": "x"}, "is not one of the available choices"),
    ],
)
def test_what_makes_no_sense_is_not_saved(organization, cast, sign_in, changes, says):
    answer = sign_in(cast.ada).post(SETTINGS, filled(**changes))

    assert (answer.status_code, says in answer.content.decode()) == (422, True)
    assert not NoticeSettings.objects.exists()


def test_a_channel_of_ones_own_is_added_tested_and_taken_away(organization, cast, sign_in, room: Chatroom):
    client = sign_in(cast.ada)

    assert client.post("/me/notices/channels/", {"name": "Mine", "address": room.address}).status_code == 302
    channel = ChatChannel.objects.get()
    client.post(reverse("integrations:test_channel", args=[channel.pk]))
    deliver_due()
    page = client.get(SETTINGS).content.decode()

    assert "A webhook of your own, not encrypted at 127.0.0.1" in page and "Delivered" in page
    assert "secret-token" not in page
    assert room.messages[0][0] == "A test from the desk"
    client.post(reverse("integrations:remove_channel", args=[channel.pk]))
    assert "Mine" not in text_of(client.get(SETTINGS)).replace("Mine was taken away", "")
    verbs = Entry.objects.filter(verb__contains="chat_channel").order_by("pk").values_list("verb", flat=True)
    assert [verb.rpartition(".")[2] for verb in verbs] == ["added", "tested", "removed"]


def test_a_refused_address_is_said_and_not_shown_again(organization, cast, sign_in):
    answer = sign_in(cast.ada).post(
        "/me/notices/channels/", {"name": "x", "address": "jsons://127.0.0.1/token?verify=no"}
    )

    page = answer.content.decode()
    assert (answer.status_code, "options are not taken" in page, "verify=no" in page) == (422, True, False)


def test_an_admin_adds_a_channel_of_a_team(organization, cast, sign_in):
    client, team = sign_in(cast.tomasz), cast.ada.teams.get()
    given = {"name": "Refunds", "address": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "team": team.pk}

    assert client.post("/channels/add/", {**given, "kinds": ["ladder"]}).status_code == 302

    page = text_of(client.get("/channels/"))
    assert "for Refunds: A case waits too long" in page and "TIiajkdnlazkcOXrIdevi7FQ" not in page
    assert client.post("/channels/add/", given).status_code == 422


def test_nobody_tests_or_takes_away_what_is_not_theirs(organization, cast, sign_in):
    own, shared = make_channel(organization, person=cast.ada, kinds=[]), make_channel(organization)

    for who, channel, status in [
        (cast.ben, own, 404), (cast.tomasz, own, 404), (cast.ben, shared, 404), (cast.tomasz, shared, 302)
    ]:  # fmt: skip
        for action in ("test_channel", "remove_channel"):
            assert sign_in(who).post(reverse(f"integrations:{action}", args=[channel.pk])).status_code == status
