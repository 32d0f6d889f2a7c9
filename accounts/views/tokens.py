"""One's own tokens for programs: made, shown once, revoked."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts import confirming, tokens
from accounts.access import signed_in
from accounts.models import Membership
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from opsdesk.lib.money import Money
from opsdesk.lib.requests import OpsRequest


class TokenForm(forms.Form):
    """What a token is for, whose it is, and how long it lasts."""

    name = forms.CharField(max_length=60, label="What it is for")
    account = forms.TypedChoiceField(coerce=int, label="Account")
    scopes = forms.MultipleChoiceField(
        choices=tokens.Scope.choices, widget=forms.CheckboxSelectMultiple, label="It may"
    )
    ceiling = forms.CharField(
        required=False,
        max_length=24,
        label="Approves at most",
        help_text="An amount; without one it approves nothing.",
    )
    days = forms.IntegerField(min_value=1, max_value=tokens.LONGEST_DAYS, initial=90, label="Days it lasts")

    def __init__(self, *args: Any, by: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = by.organization.currency
        self.accounts = {row.pk: row for row in _own_accounts(by)}
        names = [(key, f"{row.user.get_username()}, {row.get_role_display()}") for key, row in self.accounts.items()]
        self.fields["account"].choices = names  # type: ignore[attr-defined]

    def clean_ceiling(self) -> int | None:
        """Minor units of the organization's currency."""
        typed = self.cleaned_data["ceiling"].strip()
        if not typed:
            return None
        try:
            amount = Money.parse(typed, self.currency)
        except DomainError as wrong:
            raise forms.ValidationError(f"{typed} is not an amount in {self.currency}.") from wrong
        if amount.minor < 0:
            raise forms.ValidationError("An amount is not below nothing.")
        return amount.minor


def _own_accounts(membership: Membership) -> Any:
    """Memberships in force of all accounts of one human being in this organization."""
    rows = Membership.objects.active().of_same_person(membership.user)
    return rows.filter(organization_id=membership.organization_id).select_related("user", "organization").order_by("pk")


@require_GET
@signed_in
def index(request: OpsRequest) -> HttpResponse:
    """The tokens of one's own accounts."""
    return _page(request)


def _page(request: OpsRequest, *, form: TokenForm | None = None, status: int = 200, **more: Any) -> HttpResponse:
    rows: list[tokens.ApiToken] = []
    if request.membership is not None:
        mine = tokens.ApiToken.objects.visible_to(request.membership).filter(revoked_at=None)
        rows = list(mine.filter(expires_at__gt=clock.now()).select_related("membership__user")[:100])
        form = form or TokenForm(by=request.membership)
    items = [{"token": row, "may": [tokens.Scope(scope).label for scope in row.scopes]} for row in rows]
    return render(request, "accounts/tokens_page.html", {"items": items, "form": form, **more}, status=status)


@require_POST
@signed_in
def make(request: OpsRequest) -> HttpResponse:
    """A new token; the answer is the only place that ever shows it."""
    member: Membership | None = getattr(request, "membership", None)
    if member is None:
        return redirect("accounts:tokens")
    form = TokenForm(request.POST, by=member)
    if not form.is_valid():
        return _page(request, form=form, status=422)
    asked = confirming.asked_first(request, what="make a token")
    if asked is not None:
        return asked
    sent = form.cleaned_data
    details = {"name": sent["name"], "scopes": sent["scopes"], "days": sent["days"], "ceiling": sent["ceiling"]}
    try:
        _, text = tokens.make(form.accounts[sent["account"]], by=request.user, **details)
    except tokens.TokenRefused as refused:
        form.add_error(None, str(refused))
        return _page(request, form=form, status=409)
    return _page(request, made=text)


@require_POST
@signed_in
def revoke(request: OpsRequest) -> HttpResponse:
    """End one of one's own tokens, from its next call on."""
    named = request.POST.get("token", "")
    key = int(named) if named.isascii() and named.isdigit() and len(named) < 18 else 0
    mine = tokens.ApiToken.objects.visible_to(request.membership) if request.membership else None
    token = mine.filter(pk=key).first() if mine is not None else None
    if token is not None and tokens.revoke(token, by=request.user):
        messages.success(request, "It opens nothing any more.")
    else:
        messages.info(request, "There is no such token in force.")
    return redirect("accounts:tokens")
