"""The list of all cases: its filters, its columns, and how it is remembered."""

import pytest

from auditlog.models import Entry
from auditlog.services import Actor, record
from opsdesk.models import ListLook
from tests import factories
from tests.plugins.pages import text_of
from workflows.models import Case
from workflows.states import CaseState


def found(client, query: str = "") -> list[Case]:
    return list(client.get(f"/cases/?{query}").context["page"].rows)


def test_cases_are_narrowed_by_words_number_state_and_amount(organization, cast, sign_in):
    small = factories.make_case(organization, amount="12.50", party_name="Harbour Lane", state=CaseState.DONE)
    large = factories.make_case(organization, amount="900.00", party_name="Harbour Gifts")
    yen = factories.make_case(organization, amount="5.00", currency="JPY")
    client = sign_in(cast.ada)

    assert found(client) == [yen, large, small]
    assert found(client, "text=harbour") == [large, small]
    assert found(client, "text=harbour+gif") == [large]
    assert found(client, f"text={small.pk}") == found(client, f"text=case-{small.pk}") == [small]
    assert found(client, "state=done") == [small]
    assert found(client, "least=%C2%A3100&most=1,000") == [large]
    assert found(client, "period=today") == [yen, large, small]
    assert "No case is like that" in text_of(client.get("/cases/?state=rejected"))


def test_a_word_that_is_too_short_is_said_and_narrows_nothing(organization, cast, sign_in):
    case = factories.make_case(organization)
    client = sign_in(cast.ada)

    assert "three letters or more" in text_of(client.get("/cases/?text=ab"))
    assert found(client, "text=ab") == [case]
    assert "three letters or more" in text_of(client.get("/queue/?text=ab"))


def test_columns_and_density_are_remembered_for_a_person_and_a_list(organization, cast, sign_in):
    factories.make_case(organization, key="C536391", reason="returned")
    client = sign_in(cast.ada)
    form = {"page": "cases", "query": "state=open&x=1", "columns": ["amount", "nonsense"], "density": "close"}

    sent = client.post("/lists/look/", form)

    assert sent.headers["Location"] == "/cases/?state=open"
    page = client.get("/cases/").content.decode()
    assert "C536391" not in page
    assert "£141.48" in page
    assert "close-rows" in page
    assert "close-rows" not in client.get("/runs/").content.decode()
    assert "C536391" in sign_in(cast.ben).get("/cases/").content.decode()
    assert ListLook.objects.get().columns == ["amount"]
    assert Entry.objects.filter(verb="opsdesk.look.chosen", user=cast.ada).count() == 1


@pytest.mark.parametrize(
    ("page", "who", "left_out"),
    [
        ("queue", "ada", ["£141.48", "Wrong item", "Ada Okafor has it"]),
        ("audit", "ines", ["Asked by Maya.", 'class="ref"']),
    ],
)
def test_the_queue_and_the_log_are_seen_as_they_were_left(organization, cast, sign_in, *, page, who, left_out):
    case = factories.make_case(organization, party_name="Harbour Lane", reason="wrong_item")
    factories.make_review(case, assignee=cast.ada)
    record(
        "approvals.case.commented", actor=Actor.person(cast.maya), organization_id=organization.pk,
        subject=("case", case.pk), case_id=case.pk, reason="Asked by Maya.",
    )  # fmt: skip
    client, address = sign_in(getattr(cast, who)), f"/{page}/"
    whole = client.get(address).content.decode()

    client.post("/lists/look/", {"page": page, "query": "", "columns": [], "density": "close"})

    left = client.get(address).content.decode()
    assert "close-rows" not in whole and "close-rows" in left
    assert all(words in whole for words in left_out)
    assert not any(words in left for words in left_out)


def test_a_list_without_columns_to_choose_takes_none(organization, cast, sign_in):
    for page in ("", "nothing", "reversals"):
        assert sign_in(cast.ada).post("/lists/look/", {"page": page}).headers["Location"] == "/"
    assert not ListLook.objects.exists()
