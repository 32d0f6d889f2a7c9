"""The kinds of notice that reviews bring, as people choose how they want them."""

from integrations.notices.kinds import NoticeKind, add_notice_kind


def register() -> None:
    """Have people choose among these."""
    # The objection window begins when this one has arrived.
    add_notice_kind(NoticeKind("leaving", "A refund leaves unless I object", starts_a_clock=True))
    add_notice_kind(NoticeKind("ladder", "A case waits too long"))
    add_notice_kind(NoticeKind("question", "Somebody asks me about a case"))
    add_notice_kind(NoticeKind("answer", "An answer I asked for is there"))
    add_notice_kind(NoticeKind("mention", "Somebody mentions me"))
    add_notice_kind(NoticeKind("second-opinion", "A second opinion differs"))
