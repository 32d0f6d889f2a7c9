"""The demonstration gateway's own log of effects: the one truth outside the desk."""

import json
from typing import Any
from urllib.request import urlopen

_TIMEOUT_SECONDS = 30


def fetch_effects(gateway_url: str) -> list[dict[str, Any]]:
    """Every effect so far, oldest first. Raises OSError when the gateway does not answer."""
    effects: list[dict[str, Any]] = []
    after = 0
    while True:
        address = f"{gateway_url}/_sandbox/effects?after={after}"
        with urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the address is an operator's argument
            page = json.load(answer)["data"]
        if not page:
            return effects
        effects += page
        after = page[-1]["seq"]
