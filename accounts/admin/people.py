"""Organizations, people and what they may do."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect

from accounts import factors, journal, proposals, sessions
from accounts.forms import AccountForm, NewAccountForm, NewPasswordForm, PersonForm
from accounts.models import Membership, Person, Team, User
from accounts.recorded import REASON, RecordedAdmin
from accounts.roles import Role
from accounts.site import is_founding
from accounts.snapshots import Snapshot, difference, snapshot
from opsdesk.lib import clock

# Rights come from roles; Django's own groups would be a second, silent source of them. Second factors are nobody's
# but their owner's.
admin.site.unregister(Group)
admin.site.unregister(Authenticator)
admin.site.unregister(EmailAddress)


@admin.register(Person)
class PersonAdmin(RecordedAdmin):
    """Human beings. They are made with their first account."""

    noun = "accounts.person"
    withheld = ["name", "email"]
    list_display = ["name", "email", "manager"]
    search_fields = ["name", "email"]
    form = PersonForm
    list_select_related = ["manager"]
    fieldsets = [
        (None, {"fields": ["name", "email"], "description": "Votes are counted in people, not in accounts."}),
        ("Above them", {"fields": ["manager"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Person]":
        """People with an account in the own organization."""
        return _of_members(admin.ModelAdmin.get_queryset(self, request), request, "user__person")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Person | None = None) -> bool:
        """Whoever also works for another organization is not changed from this one."""
        return super().has_change_permission(request, obj) and not _elsewhere(request, obj, user__person=obj)

    def organization_id_of(self, request: HttpRequest, row: Person) -> int:
        return _own_organization_id(request)


@admin.register(User)
class AccountAdmin(RecordedAdmin, UserAdmin):
    """Accounts to sign in with. What they may do stands in their membership."""

    noun = "accounts.user"
    second_person = True
    withheld = ["username", "first_name", "last_name", "email", "password"]
    form = AccountForm
    add_form = NewAccountForm
    change_password_form = NewPasswordForm
    change_user_password_template = "admin/accounts/user/change_password.html"  # noqa: S105 - a template
    list_display = ["username", "first_name", "last_name", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff"]
    filter_horizontal = []
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Who", {"fields": ["person", "first_name", "last_name", "email"]}),
        (
            "Door",
            {
                "fields": ["is_active", "is_staff", "forget_factors"],
                "description": "An account that is not active cannot sign in and its votes no longer count. "
                "Staff opens this admin, together with the role Admin, or Auditor where the log is kept apart.",
            },
        ),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        ("Who", {"fields": ["username", "first_name", "last_name", "email", "person"]}),
        ("What they may do", {"fields": ["role"]}),
        ("Password", {"fields": ["password1", "password2"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[User]":
        """Accounts that are or were members of the own organization."""
        return _of_members(admin.ModelAdmin.get_queryset(self, request), request, "user")

    def asks_second_person(self, was: Snapshot, now: Snapshot, *, change: bool) -> bool:
        """Who an account belongs to, and whether it may sign in; a new one asks with its membership."""
        return change and ("person" in now or now.get("is_active") is True or now.get("is_staff") is True)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The last who may configure keep their way in."""
        closed = [
            name for name in ("is_active", "is_staff") if form.before.get(name) and not getattr(form.instance, name)
        ]
        mine = _own_organization_id(request) if getattr(request, "membership", None) else None
        if (
            closed
            and mine
            and form.instance.memberships.filter(organization=mine, role=Role.ADMIN, ended_at=None).exists()
        ):
            proposals.refuse_lockout(mine)
        super().save_related(request, form, formsets, change)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:  # noqa: A002 - Django's name
        """Whoever sets the password of another admin could be both of the two people who are asked."""
        membership, account = getattr(request, "membership", None), self.get_object(request, id)
        if membership is not None and account is not None and account.pk != request.user.pk:
            admins = account.memberships.filter(organization=membership.organization_id, role=Role.ADMIN, ended_at=None)
            if admins.exists() and proposals.are_asked(membership.organization_id):
                messages.error(request, "Another admin's password is not set here: two people are asked for changes.")
                return redirect("admin:accounts_user_change", account.pk)
        return super().user_change_password(request, id, form_url)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whoever also works for another organization, or stands above all, is not changed from this one."""
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj) and not _elsewhere(request, obj, user=obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """A new account gets its person and its membership at once."""
        if change:
            super().save_model(request, obj, form, change)
            return self._forget_factors(request, obj, form)
        person = form.person_of(obj)
        if person.pk is None:
            person.save()
            self._tell_new(request, "accounts.person", person, form)
        obj.person, obj.is_staff = person, form.cleaned_data["role"] == Role.ADMIN
        super().save_model(request, obj, form, change)
        organization_id = _own_organization_id(request)
        waits = proposals.are_asked(organization_id)
        member = Membership.objects.create(
            organization_id=organization_id,
            user=obj,
            role=form.cleaned_data["role"],
            ended_at=clock.now() if waits else None,
        )
        self._tell_new(request, "accounts.membership", member, form)
        if waits:
            self._propose_beginning(request, member, form.cleaned_data[REASON])
        return None

    def _propose_beginning(self, request: HttpRequest, member: Membership, reason: str) -> None:
        """The account is there; what it may do begins when another person says so."""
        stored = snapshot(Membership.objects.get(pk=member.pk))
        begun = difference(stored, {**stored, "ended_at": None})
        change = proposals.Proposed(member, before=stored, was=begun[0], now=begun[1], reason=reason)
        typed = {"role": [str(member.role)], "ended_at_0": [""], "ended_at_1": [""], REASON: [reason]}
        proposals.make(
            change,
            page="accounts.membership",
            row_id=member.pk,
            organization_id=member.organization_id,
            form=typed,
            by=request.user,  # type: ignore[arg-type]
        )
        messages.info(request, "What the account may do begins when another admin puts it in force.")

    def _forget_factors(self, request: HttpRequest, obj: User, form: Any) -> None:
        if not form.cleaned_data.get("forget_factors") or not factors.forget_all(obj):
            return
        sessions.end(of_user=obj.pk)
        journal.tell(
            "accounts.user.factors_forgotten",
            user=request.user,
            organization_id=_own_organization_id(request),
            subject=("user", obj.pk),
            reason=form.cleaned_data[REASON],
            before={},
            after={},
        )

    def _tell_new(self, request: HttpRequest, noun: str, row: Person | Membership, form: Any) -> None:
        journal.tell(
            f"{noun}.added",
            user=request.user,
            organization_id=_own_organization_id(request),
            subject=(noun.rpartition(".")[2], row.pk),
            reason=form.cleaned_data[REASON],
            before={},
            after={} if isinstance(row, Person) else snapshot(row),
        )

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """The page for a new password saves by itself and calls only this."""
        if request.resolver_match and request.resolver_match.url_name == "auth_user_password_change":
            journal.tell(
                "accounts.user.password_changed",
                user=request.user,
                organization_id=_own_organization_id(request),
                subject=("user", obj.pk),
                reason=request.POST[REASON],
                before={},
                after={},
            )
        return super().log_change(request, obj, message)

    def organization_id_of(self, request: HttpRequest, row: User) -> int:
        return _own_organization_id(request)


@admin.register(Membership)
class MembershipAdmin(RecordedAdmin):
    """What an account may do in the organization. Rights are read afresh for every click."""

    noun = "accounts.membership"
    second_person = True
    for_founding = True
    given_once = ["organization", "user"]
    list_display = ["user", "role", "ended_at"]
    list_filter = ["role", ("ended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["user"]
    search_fields = ["user__username", "user__first_name", "user__last_name"]
    fieldsets = [
        (None, {"fields": ["organization", "user", "role"]}),
        ("End", {"fields": ["ended_at"]}),
    ]

    def has_change_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        """Nobody changes their own rights, with whichever account."""
        own = obj is not None and obj.user.same_person_as(request.user)  # type: ignore[arg-type]
        return super().has_change_permission(request, obj) and not own

    def asks_second_person(self, was: Snapshot, now: Snapshot, *, change: bool) -> bool:
        """Another role, and a membership that begins; one that only ends, ends at once."""
        return not change or "role" in now or now.get("ended_at", "") is None

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The last who may configure do not lose it."""
        before, row = form.before, form.instance
        was_admin = change and before["role"] == Role.ADMIN and before["ended_at"] is None
        if was_admin and (row.role != Role.ADMIN or row.ended_at is not None):
            proposals.refuse_lockout(row.organization_id)
        super().save_related(request, form, formsets, change)


@admin.register(Team)
class TeamAdmin(RecordedAdmin):
    """People who vote in the same stage."""

    noun = "accounts.team"
    second_person = True
    given_once = ["slug"]
    list_display = ["name", "slug", "size", "distribution", "cap"]
    filter_horizontal = ["members"]
    prepopulated_fields = {"slug": ["name"]}
    search_fields = ["name"]
    fieldsets = [
        (None, {"fields": ["organization", "name", "slug"]}),
        (
            "Members",
            {
                "fields": ["members"],
                "description": "Only members whose role lets them decide may vote; the others are passed over.",
            },
        ),
        (
            "How cases reach them",
            {
                "fields": ["distribution", "cap"],
                "description": "Whoever is away is given nothing. A case that is given can still be taken by others.",
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Team]":
        return super().get_queryset(request).prefetch_related("members")

    def get_prepopulated_fields(self, request: HttpRequest, obj: Team | None = None) -> dict[str, Any]:
        return {} if obj is not None else super().get_prepopulated_fields(request, obj)

    def asks_second_person(self, was: Snapshot, now: Snapshot, *, change: bool) -> bool:
        """Who comes into it; who leaves does so at once, and how cases reach them is no right."""
        return bool(set(now.get("members", ())) - set(was.get("members", ())))

    @admin.display(description="members")
    def size(self, team: Team) -> int:
        """How many accounts it has."""
        return len(team.members.all())


def _own_organization_id(request: HttpRequest) -> int:
    return int(request.membership.organization_id)  # type: ignore[attr-defined]


def _of_members(rows: "QuerySet[Any]", request: HttpRequest, path: str) -> "QuerySet[Any]":
    """Rows that hang on a membership of the own organization; all for whoever founds, none for others."""
    membership = getattr(request, "membership", None)
    if membership is None:
        return rows if is_founding(request) else rows.none()
    mine = Membership.objects.filter(organization_id=membership.organization_id)
    return rows.filter(pk__in=mine.values(path))


def _elsewhere(request: HttpRequest, obj: Any, **whose: Any) -> bool:
    """Whether the rights of this person in another organization could be touched from here."""
    membership = getattr(request, "membership", None)
    if obj is None or membership is None:
        return False
    others = Membership.objects.filter(**whose, ended_at=None)
    return others.exclude(organization_id=membership.organization_id).exists()
