"""The door, lent to a library that expects `requests`: its calls go out as the desk's own do, and only to named hosts.

Whatever the library says about redirects, certificates and proxies is not heard. What it does not need is not there,
so that a use nobody foresaw fails instead of finding another way out.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests

from integrations.errors import AddressRefused
from integrations.http.addresses import check_url
from integrations.http.answers import retry_after
from integrations.http.transport import Limits, exchange


class Refused(Exception):
    """The other side answered, and not with a yes: its status (3xx to 5xx), and how long it asked us to stay away."""

    def __init__(self, status: int, told: timedelta | None) -> None:
        super().__init__(f"It answered {status}.")
        self.status = status
        self.told = told


class _Errand(threading.local):
    """What this thread's call may do, and what was answered so far."""

    hosts: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    limits = Limits()


_errand = _Errand()


class Errand:
    """What came of it: the HTTP statuses of the answers, in their order."""

    statuses: tuple[int, ...] = ()


@contextmanager
def errand(hosts: tuple[str, ...], limits: Limits) -> Iterator[Errand]:
    """Let this thread call these hosts, named whole or as `.domain` for all below it, and no others, meanwhile."""
    done = Errand()
    _errand.hosts, _errand.statuses, _errand.limits = hosts, (), limits
    try:
        yield done
    finally:
        done.statuses = _errand.statuses
        _errand.hosts = ()


class LentRequests:
    """As much of the module `requests` as a notification needs.

    Raises Refused for an answer other than 2xx, AddressRefused, or NoAnswer: none of them is an error of `requests`,
    so no library takes one for a reason to try again.
    """

    codes = requests.codes
    RequestException = requests.RequestException
    exceptions = requests.exceptions

    @staticmethod
    def request(
        method: str,
        url: str,
        *,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
        files: Any = None,
        **unheard: Any,
    ) -> requests.Response:
        """One call and its answer."""
        if files:
            raise AddressRefused("Files are not sent.")
        asked = requests.Request(method, url, dict(headers or {}), None, data, params, auth, None, None, json).prepare()
        target = str(asked.url)
        check_url(target.partition("?")[0])
        host = (urlsplit(target).hostname or "").lower()
        if not any(host == name or (name.startswith(".") and host.endswith(name)) for name in _errand.hosts):
            raise AddressRefused(f"{host} is not where this channel leads.")
        body = asked.body.encode() if isinstance(asked.body, str) else asked.body
        sent = {name: value if isinstance(value, str) else value.decode() for name, value in asked.headers.items()}
        sent |= {"Accept-Encoding": "identity", "User-Agent": "opsdesk"}
        received = exchange(asked.method or "POST", target, headers=sent, body=body, limits=_errand.limits)
        _errand.statuses = (*_errand.statuses, received.status)
        if not 200 <= received.status < 300:
            raise Refused(received.status, retry_after(received.headers))
        answer = requests.Response()
        answer.status_code, answer.url, answer.encoding = received.status, target, "utf-8"
        answer.headers.update(received.headers)
        answer._content = received.body
        return answer

    @classmethod
    def post(cls, url: str, data: Any = None, json: Any = None, **options: Any) -> requests.Response:
        """A POST."""
        return cls.request("POST", url, data=data, json=json, **options)

    @classmethod
    def get(cls, url: str, params: Any = None, **options: Any) -> requests.Response:
        """A GET."""
        return cls.request("GET", url, params=params, **options)

    @staticmethod
    def Session(*_: Any, **__: Any) -> NoReturn:  # noqa: N802 - the name it has in the library
        """A session would follow redirects and proxies."""
        raise AddressRefused("Sessions are not lent.")


LENT = LentRequests()
