"""The left navigation: which entries this person sees, where they lead, and the numbers beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.urls import resolve, reverse

from accounts.models import Membership
from accounts.roles import Permission
from opsdesk.counts import COUNTERS
from opsdesk.lib.counting import counts_with, in_words
from opsdesk.lib.wording import visible
from opsdesk.lists.registry import LISTS
from opsdesk.lists.saving import counted
from opsdesk.models import SavedView
from workflows.models import Recovery
from workflows.recovery import mode

MOST_VIEWS = 12  # of the saved ones in the rail; the page of views lists all
CAP = 99  # larger numbers are shown as “99+” and not counted further


@dataclass(frozen=True)
class Entry:
    """One place of the desk. Who sees it follows from the permission that its view declares."""

    url_name: str
    icon: str
    label: str
    counter: str = ""  # key in opsdesk.counts.COUNTERS
    alarm: bool = False  # its number is trouble, not work
    covers: tuple[str, ...] = ()  # further views during which this entry is the current one


@dataclass(frozen=True)
class Item:
    """An entry as one person sees it on one page."""

    url: str
    icon: str
    label: str
    count: int | None
    alarm: bool
    current: bool

    @property
    def words(self) -> str:
        """The number as it is shown; nothing for zero."""
        if not self.count:
            return ""
        return in_words(self.count, CAP)


@dataclass(frozen=True)
class Group:
    """Some entries under one word, or under none."""

    label: str
    items: Sequence[Item]


GROUPS: dict[str, tuple[Entry, ...]] = {
    "": (
        Entry("home", "house", "Home"),
        Entry("approvals:queue", "inbox", "Queue", "queue", covers=("approvals:case", "approvals:decide")),
        Entry("cases", "folder", "Cases", covers=("search",)),
        Entry("approvals:escalations", "clock-alert", "Escalations", "escalations", covers=("approvals:forecast",)),
        Entry("approvals:leaving", "timer", "Leaving soon", "leaving"),
        Entry(
            "approvals:second_opinions",
            "eye",
            "Second opinions",
            "second_opinions",
            covers=("approvals:second_opinion",),
        ),
        Entry("integrations:notices", "bell", "Notices", "notices", covers=("integrations:notice_settings",)),
        Entry("stalled", "hourglass", "Stalled", "stalled"),
        Entry("workflows:alerts", "siren", "Alerts", "alerts", True),
        Entry("approvals:time_off", "calendar-off", "Time off"),
        Entry("workflows:requests", "file-text", "Requests", covers=("workflows:request", "workflows:send_request")),
    ),
    "Flow": (
        Entry("workflows:runs", "activity", "Runs", covers=("workflows:run", "workflows:bulks", "workflows:bulk")),
        Entry("workflows:triggers", "zap", "Triggers"),
        Entry(
            "workflows:failures",
            "triangle-alert",
            "Failures",
            "failures",
            True,
            covers=("workflows:failure", "workflows:quarantine"),
        ),
        Entry(
            "integrations:connections",
            "plug",
            "Connections",
            "connections",
            True,
            covers=("integrations:connection",),
        ),
        Entry(
            "integrations:reconciliations",
            "scale",
            "Reconciliation",
            "differences",
            True,
            covers=("integrations:reconciliation", "integrations:difference", "integrations:recovery"),
        ),
    ),
    "Control": (
        Entry("approvals:thresholds", "sliders-horizontal", "Thresholds", covers=("approvals:trial",)),
        Entry("approvals:coaching", "users", "Coaching", covers=("approvals:consistency",)),
        Entry("auditlog:entries", "history", "Audit", covers=("auditlog:entry", "auditlog:seals")),
        Entry("integrations:channels", "message-square", "Channels"),
        Entry("integrations:switches", "power", "Switches"),
        Entry("reversals", "rotate-cw", "Reversals"),
        Entry("saved_views", "bookmark", "Saved views", covers=("new_view", "save_view")),
        Entry("exports", "download", "Exports", covers=("export", "new_export", "ask_export")),
        Entry("admin:index", "settings", "Admin"),
    ),
}


class Navigation:
    """What base.html asks for. Nothing is computed for a fragment or an error page, which never ask."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._membership: Membership | None = getattr(request, "membership", None)
        self.recovering = False
        self._saved: list[tuple[str, str, str]] = []

    @cached_property
    def recovery(self) -> Recovery | None:
        """Why nothing is sent now, for the line above every page."""
        if self._membership is None or not (self.groups and self.recovering):
            return None
        return mode.current(self._membership.organization_id)

    @cached_property
    def groups(self) -> list[Group]:
        """The entries this person may open; empty groups are left out."""
        listed = {
            label: [entry for entry in group if may_open(self._request, entry.url_name)]
            for label, group in GROUPS.items()
        }
        counts = self._counts([entry.counter for group in listed.values() for entry in group])
        self.recovering = bool(counts.get("recovery"))
        here = self._request.resolver_match.view_name if self._request.resolver_match else ""
        return [Group(label, list(_items(group, counts, here))) for label, group in listed.items() if group]

    @cached_property
    def views(self) -> "list[Item]":
        """The saved views of the rail; asked for after `groups`, whose statement brought them along."""
        if self._membership is None or not self.groups:
            return []
        return list(self._view_items())

    @property
    def may_export(self) -> bool:
        """Whether lists may be taken away, for the link beside them."""
        return self._membership is not None and self._membership.may(Permission.EXPORT)

    def counted_views(self) -> "list[Item]":
        """The same with how many rows each has; a statement a view."""
        if self._membership is None:
            return []
        views = SavedView.objects.visible_to(self._membership).in_order()[:MOST_VIEWS]
        ours = [view for view in views if self._shows(view.page)]
        counts = counted(ours, self._membership)
        return [self._view_item(view.page, view.name, view.query, counts.get(view.pk)) for view in ours]

    def _view_items(self) -> "Iterator[Item]":
        for page, name, query in self._saved:
            if self._shows(page):
                yield self._view_item(page, name, query, None)

    def _shows(self, page: str) -> bool:
        return page in LISTS and self._membership is not None and self._membership.may(LISTS[page].permission)

    def _view_item(self, page: str, name: str, query: str, count: int | None) -> Item:
        listed = LISTS[page]
        here, asked = _place_of(self._request)
        current = here == listed.url("") and listed.kept(asked) == query
        return Item(listed.url(query), "bookmark", visible(name), count, alarm=False, current=current)

    def _counts(self, keys: list[str]) -> dict[str, int]:
        # What every page says above everything else is asked in the same statement, and the saved views are as well.
        wanted = [key for key in [*keys, "recovery"] if key in COUNTERS]
        if self._membership is None:
            return {}
        rows = {key: COUNTERS[key](self._membership) for key in wanted}
        views = (
            SavedView.objects.visible_to(self._membership)
            .in_order()
            .values_list(JSONObject(page="page", name="name", query="query"), flat=True)
        )
        counts, beside = counts_with(self._membership, CAP, rows, saved=ArraySubquery(views[:MOST_VIEWS]))
        self._saved = [(view["page"], view["name"], view["query"]) for view in beside["saved"]]
        return counts


def _items(group: list[Entry], counts: dict[str, int], here: str) -> Iterator[Item]:
    for entry in group:
        current = here == entry.url_name or here in entry.covers
        count = counts.get(entry.counter)
        yield Item(reverse(entry.url_name), entry.icon, entry.label, count, entry.alarm, current)


def _place_of(request: HttpRequest) -> tuple[str, str]:
    """Path and query of the page that is shown; of the page around it where htmx asks for a part."""
    htmx = getattr(request, "htmx", None)
    around = htmx.current_url_abs_path if htmx else None
    if around:
        path, _, query = around.partition("?")
        return path, query
    return request.path, request.GET.urlencode()


def may_open(request: HttpRequest, url_name: str) -> bool:
    """Whether whoever asks may open that page; for links that would only lead to a refusal."""
    needed = _permission_of(url_name)
    if isinstance(needed, Permission):
        membership: Membership | None = getattr(request, "membership", None)
        return membership is not None and membership.may(needed)
    # Without a declaration it is the admin, which guards itself; other words mean everybody who is signed in.
    return needed is not None or bool(getattr(request.user, "is_staff", False))


@lru_cache(maxsize=64)
def _permission_of(url_name: str) -> Permission | str | None:
    """What the view behind a URL name declared; None for a view that guards itself."""
    return getattr(resolve(reverse(url_name)).func, "permission", None)


def navigation(request: HttpRequest) -> dict[str, Navigation]:
    """Context processor: `nav`."""
    return {"nav": Navigation(request)}
