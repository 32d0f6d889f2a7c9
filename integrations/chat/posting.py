"""Posting to a channel, in a worker: apprise says what, the desk's own door carries it.

apprise is imported only here and only when something is posted. Of its services just the one module that is needed
is loaded, and its `requests` is the door (`integrations/http/lent.py`).
"""

import importlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from integrations.chat import known
from integrations.errors import AddressRefused
from integrations.http import Limits, lent
from integrations.http.transport import NoAnswer
from integrations.models import ChatChannel
from integrations.secrets import Undecryptable

_LIMITS = Limits(connect=3.0, read=6.0, total=8.0, largest=200_000)
# Not now; every other 4xx says that this message, or this address, will never be taken.
_NOT_NOW = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Posted:
    """The other side took it; `confirmed` says that it stands where people read it."""

    confirmed: bool


class NotPosted(Exception):
    """It was not taken. `for_good` says that trying again is of no use."""

    def __init__(self, words: str, *, for_good: bool, retry_after: timedelta | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.for_good = for_good
        self.retry_after = retry_after


def post(channel: ChatChannel, *, title: str, text: str) -> Posted:
    """Post one message, which says nothing but text. Raises NotPosted, whose words name no secret."""
    try:
        address = channel.address_in_clear()
        read = known.read(address)
        speaker = _speaker(read.service.plugin, address)
    except (AddressRefused, Undecryptable) as refused:
        raise NotPosted(str(refused), for_good=True) from refused
    name = read.service.label
    try:
        with lent.errand(read.hosts, _LIMITS) as done:
            taken = speaker.notify(title=title, body=text, body_format="text", overflow="split")
    except lent.Refused as refused:
        for_good = 300 <= refused.status < 500 and refused.status not in _NOT_NOW
        raise NotPosted(f"{name} answered {refused.status}.", for_good=for_good, retry_after=refused.told) from refused
    except NoAnswer as lost:
        raise NotPosted(f"{name}: {lost.message}", for_good=False) from lost
    except AddressRefused as refused:
        raise NotPosted(f"{name}: {refused}", for_good=True) from refused
    if not taken:
        raise NotPosted(f"{name} did not take it.", for_good=False)
    # 202 is “taken, not done”, 204 “nothing to say”.
    return Posted(
        read.service.confirms and bool(done.statuses) and all(status in (200, 201) for status in done.statuses)
    )


def _speaker(plugin: str, address: str) -> Any:
    """apprise's own object for an address. Raises AddressRefused when apprise cannot read it."""
    kind = _plugin(plugin)
    from apprise import AppriseAsset
    from apprise.exception import AppriseException

    found = kind.parse_url(address)
    if not found:
        raise AddressRefused("The address is not complete for this service.")
    # Nothing is written to disk, and nothing but the message is sent.
    asset = AppriseAsset(app_id="opsdesk", storage_mode="memory", async_mode=False)
    try:
        return kind(**{**found, "asset": asset, "format": "text"})
    except (TypeError, ValueError, AppriseException) as error:
        raise AddressRefused("The address is not complete for this service.") from error


@cache
def _plugin(name: str) -> Any:
    """The class of one service, its module's way out being ours."""
    module_name, _, class_name = name.partition(":")
    module: Any = importlib.import_module(f"apprise.plugins.{module_name}")
    module.requests = lent.LENT
    # What goes wrong stands in the notice; its own lines name addresses with their tokens.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    return getattr(module, class_name)
