"""The evidence of a case as a file: complete, noted, and checked without a database."""

import copy
import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from approvals.models import Vote
from auditlog import bundles
from auditlog.models import Entry
from auditlog.seals.form import head_of
from auditlog.services import Actor, record
from tests.approvals.desk import signed_in
from tests.auditlog.sealed import close
from tests.factories import make_action, make_case, make_desk, make_review, make_vote
from tests.plugins.pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk():
    return make_desk()


@pytest.fixture
def cast(desk):
    return desk[1]


@pytest.fixture
def case(desk, cast):
    """£141.48, approved by Ada, told in an entry."""
    organization, _ = desk
    case = make_case(organization)
    review = make_review(case)
    make_vote(review, cast.ada)
    make_action(review.run)
    record(
        "approvals.review.voted_approve",
        actor=Actor.person(cast.ada),
        organization_id=organization.pk,
        subject=("review", review.pk),
        case_id=case.pk,
        reason="The goods came back.",
        after={"hash": review.content_hash},
    )
    return case


def taken(user, case, form="file"):
    return signed_in(user).post(reverse("approvals:evidence", args=[case.pk]), {"form": form})


def bundle_of(user, case):
    response = taken(user, case)
    assert response.headers["Content-Disposition"] == f'attachment; filename="evidence-case-{case.pk}.json"'
    return json.loads(response.content)


def test_the_file_holds_all_of_the_case_and_who_took_it_is_noted(case, cast):
    bundle = bundle_of(cast.ines, case)

    assert bundles.faults(bundle) == []
    assert bundle["case"]["amount_minor"] == case.amount_minor
    (review,) = bundle["reviews"]
    assert [vote["by"] for vote in review["votes"]] == [str(cast.ada)]
    assert [entry["reason"] for entry in bundle["entries"]] == ["The goods came back."]
    assert bundle["seen_by_the_database"] and bundle["actions"] and bundle["decisions"] and bundle["authorizations"]
    noted = Entry.objects.get(verb="approvals.evidence.taken_out")
    assert (noted.user, noted.case_id, noted.after["digest"]) == (cast.ines, case.pk, bundle["digest"])


def test_entries_are_proved_up_to_a_head_from_outside(case, cast):
    close()

    bundle = bundle_of(cast.ines, case)
    proved = [entry["proof"] for entry in bundle["entries"] if entry["proof"]]
    assert proved and bundles.unsealed(bundle) == len(bundle["entries"]) - len(proved)
    number, head = json.loads(proved[0]["seals"][-1])[2], head_of(proved[0]["seals"][-1]).hex()
    assert bundles.faults(bundle, {number: head}) == []
    assert "not one that was handed out" in bundles.faults(bundle, {number: "00" * 32})[0]

    forged = {name: value for name, value in bundle.items() if name not in ("digest", "form")}
    forged["entries"][0]["reason"] = "He is my friend."
    assert any("is not the one that was sealed" in fault for fault in bundles.faults(bundles.closed(forged)))


def _another_sum(bundle):
    bundle["actions"][0]["amount_minor"] += 1


def _another_vote(bundle):
    bundle["reviews"][0]["votes"][0]["content_hash"] = "0" * 64


def _another_reason(bundle):
    bundle["entries"][0]["reason"] = "He is my friend."


@pytest.mark.parametrize("forge", [_another_sum, _another_vote, _another_reason])
def test_whoever_changes_the_file_is_found_out(case, cast, forge, tmp_path, capsys):
    forged = bundle_of(cast.ines, case)
    forge(forged)

    assert "The file was changed since it was made: its digest is another." in bundles.faults(forged)

    file = tmp_path / "evidence.json"
    file.write_text(json.dumps(forged))
    with pytest.raises(SystemExit):
        call_command("audit", "verify-bundle", str(file))
    assert "its digest is another" in capsys.readouterr().out


def test_what_does_not_fit_together_is_found_though_the_digest_is_right(case, cast):
    for forge, fault in [
        (_another_sum, "is about another sum than authorization"),
        (_another_vote, "is about other content than its review"),
    ]:
        forged = copy.deepcopy(bundle_of(cast.ines, case))
        forge(forged)
        del forged["digest"], forged["form"]

        assert any(fault in words for words in bundles.faults(bundles.closed(forged)))


def test_what_is_no_bundle_is_said_to_be_none():
    for odd in ({}, [], None, {"form": bundles.FORM}, {"form": 1, "digest": 2}):
        assert bundles.faults(odd)


def test_a_whole_file_is_good_without_a_database(case, cast, tmp_path, capsys):
    file = tmp_path / "evidence.json"
    file.write_bytes(taken(cast.ines, case).content)

    call_command("audit", "verify-bundle", str(file))

    assert f"The evidence of CASE-{case.pk} holds" in capsys.readouterr().out


def test_the_page_for_paper_says_the_same(case, cast):
    page = text_of(taken(cast.ines, case, form="page"))

    assert f"Evidence of CASE-{case.pk}" in page and "The goods came back." in page
    assert str(cast.ada) in page and Vote.objects.get().content_hash[:16] in page
    assert Entry.objects.get(verb="approvals.evidence.taken_out").after["form"] == "page"


def test_only_readers_of_the_log_take_it_and_only_of_their_own(case, cast):
    _, strangers = make_desk("elsewhere", suffix="-elsewhere")

    assert taken(cast.ada, case).status_code == 403
    assert taken(strangers.ines, case).status_code == 404
    assert "Evidence as a file" not in text_of(signed_in(cast.ada).get(reverse("approvals:case", args=[case.pk])))
    assert "Evidence as a file" in text_of(signed_in(cast.ines).get(reverse("approvals:case", args=[case.pk])))
