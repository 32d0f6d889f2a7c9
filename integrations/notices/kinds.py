"""The kinds of notice: each room registers its own. The kind of a notice is the first word of its topic."""

from collections.abc import Sequence
from dataclasses import dataclass, field

TEST = "test"
UNDELIVERED = "undelivered"


@dataclass(frozen=True, slots=True)
class NoticeKind:
    """One kind, as people choose how they want it. `starts_a_clock`: it cannot wait for a summary."""

    key: str
    label: str
    starts_a_clock: bool = False


@dataclass
class _Registry:
    kinds: dict[str, NoticeKind] = field(default_factory=dict)


_registered = _Registry()


def add_notice_kind(kind: NoticeKind) -> None:
    """Let people choose how they want one more kind."""
    if _registered.kinds.setdefault(kind.key, kind) is not kind:
        raise ValueError(f"The kind of notice {kind.key} is registered twice.")


def notice_kinds() -> Sequence[NoticeKind]:
    """All that people can choose."""
    return tuple(_registered.kinds.values())


def kind_of(topic: str) -> str:
    """The kind of a topic such as leaving:17."""
    return topic.partition(":")[0]


def starts_a_clock(kind: str) -> bool:
    """Whether something begins with its delivery."""
    found = _registered.kinds.get(kind)
    return found is not None and found.starts_a_clock
