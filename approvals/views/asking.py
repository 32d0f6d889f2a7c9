"""Asking the requester from the case, and the page on which whoever holds the link answers."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import public, requires
from accounts.roles import Permission
from approvals import asking
from approvals.errors import NotAsked, NothingSaid
from approvals.forms import CommentForm
from approvals.models import Question
from approvals.models.questions import LONGEST_ANSWER
from approvals.views.deciding import review_of
from approvals.views.evidence import open_file
from approvals.views.showing import listing_of, show_case, show_or_return
from opsdesk.lib.errors import DomainError
from opsdesk.lib.requests import OpsRequest
from workflows.models import Case


@require_POST
@requires(Permission.DECIDE)
def ask(request: OpsRequest, pk: int) -> HttpResponse:
    """Ask the requester; the link for the answer is shown once, here."""
    review, form = review_of(request, pk), CommentForm(request.POST)
    text = form.cleaned_data["text"] if form.is_valid() else ""
    try:
        _, token = asking.ask(review.pk, by=request.user, text=text)
    except DomainError as refused:
        return _refused(request, pk, refused)
    return _with_link(request, pk, token, "Asked. The clock of the review stands until the answer is there.")


@require_POST
@requires(Permission.DECIDE)
def new_link(request: OpsRequest, pk: int) -> HttpResponse:
    """Make another link; the one before is void."""
    try:
        _, token = asking.new_link(_open_question(request, pk).pk, by=request.user)
    except DomainError as refused:
        return _refused(request, pk, refused)
    return _with_link(request, pk, token, "A new link; the one before answers nothing any more.")


@require_POST
@requires(Permission.ASK)
def answer(request: OpsRequest, pk: int) -> HttpResponse:
    """Write down the answer: what one was told, or what one knows as the requester."""
    form = CommentForm(request.POST)
    text = form.cleaned_data["text"] if form.is_valid() else ""
    return _closing(
        request, pk, lambda question: asking.answer_by_person(question.pk, by=request.user, text=text), "Answered."
    )


@require_POST
@requires(Permission.DECIDE)
def go_on(request: OpsRequest, pk: int) -> HttpResponse:
    """Decide without the answer."""
    return _closing(
        request, pk, lambda question: asking.go_on_without(question.pk, by=request.user), "Goes on without an answer."
    )


def _closing(request: OpsRequest, pk: int, service: Callable[[Question], Question], said: str) -> HttpResponse:
    try:
        service(_open_question(request, pk))
    except DomainError as refused:
        return _refused(request, pk, refused)
    return show_or_return(request, pk, said)


def _open_question(request: OpsRequest, case_id: int) -> Question:
    """The newest question about a case that the member sees. Raises NotAsked; the service does when it is closed."""
    case = get_object_or_404(Case.objects.visible_to(request.membership), pk=case_id)
    question = Question.objects.filter(case=case).order_by("-pk").first()
    if question is None:
        raise NotAsked
    return question


def _refused(request: OpsRequest, pk: int, refused: DomainError) -> HttpResponse:
    status = 422 if isinstance(refused, NothingSaid) else 409
    file = open_file(request.membership, pk)
    return show_case(request, file, status=status, listing=listing_of(request), refusal=str(refused))


def _with_link(request: OpsRequest, pk: int, token: str, said: str) -> HttpResponse:
    """The case with the link in it. Not a redirect: nothing else knows the link, and sending it again asks nothing."""
    link = f"{settings.BASE_URL}{reverse('approvals:answer_link', args=[token])}"
    return show_case(request, open_file(request.membership, pk), listing=listing_of(request), said=said, link=link)


@public
@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def by_link(request: HttpRequest, token: str) -> HttpResponse:
    """The page for a requester without an account: the link is the right to answer, once. Reading changes nothing."""
    question, refusal, status = asking.open_by(token), "", 200
    if question is None:
        response = render(request, "approvals/answer_gone.html", status=404)
    elif request.method == "POST":
        try:
            asking.answer_by_link(token, text=request.POST.get("text", ""))
            response = render(request, "approvals/answer_taken.html", {"question": question})
        except DomainError as refused:
            refusal, status = str(refused), 422 if isinstance(refused, NothingSaid) else 409
            response = _asked(request, question, refusal, status)
    else:
        response = _asked(request, question, refusal, status)
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _asked(request: HttpRequest, question: Question, refusal: str, status: int) -> HttpResponse:
    context = {
        "question": question,
        "refusal": refusal,
        "text": request.POST.get("text", ""),
        "longest": LONGEST_ANSWER,
    }
    return render(request, "approvals/answer_page.html", context, status=status)
