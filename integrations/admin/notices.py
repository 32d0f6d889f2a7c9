"""What the organization says about notices, and what became of each."""

from typing import Any

from django import forms
from django.contrib import admin

from accounts.recorded import CappedPaginator, ReadOnlyAdmin, RecordedAdmin, RecordedForm
from integrations.models import Notice, NoticePolicy
from integrations.notices.kinds import notice_kinds
from opsdesk.lib.wording import visible


class NoticePolicyForm(RecordedForm):
    """Which kinds are urgent."""

    pressing = forms.MultipleChoiceField(
        label="Urgent kinds",
        required=False,
        choices=lambda: [(kind.key, kind.label) for kind in notice_kinds()],
        help_text="They go out at once in quiet hours too, and are not held back when there are many.",
    )

    class Meta:
        model = NoticePolicy
        fields = ["organization", "pressing"]


@admin.register(NoticePolicy)
class NoticePolicyAdmin(RecordedAdmin):
    """One row an organization; without it, only what starts an objection window is urgent."""

    noun = "integrations.notice_policy"
    given_once = ["organization"]
    form = NoticePolicyForm
    list_display = ["organization", "pressing"]
    fieldsets = [(None, {"fields": ["organization", "pressing"]})]


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    """Every notice with its way and what became of it; what it says is for whom it was sent to."""

    list_display = [
        "pk",
        "whom_it_is_for",
        "channel",
        "topic",
        "state",
        "attempts",
        "created_at",
        "delivered_at",
        "why",
    ]
    list_filter = ["state", "channel"]
    list_select_related = ["recipient", "chat"]
    paginator = CappedPaginator
    fields = [
        "whom_it_is_for", "channel", "topic", "case", "state", "why", "attempts", "bundled", "created_at", "due_at",
        "tried_at", "delivered_at", "read_at",
    ]  # fmt: skip

    @admin.display(description="for")
    def whom_it_is_for(self, notice: Any) -> str:
        """A person, or the channel of a team."""
        return str(notice.whom)

    @admin.display(description="what went wrong last")
    def why(self, notice: Any) -> str:
        """In words of ours or of the mail server."""
        return visible(notice.message)
