"""The chat services a channel may lead to, and how its address is read without calling anything.

An address is one of apprise: slack://TOKEN/TOKEN/TOKEN, jsons://chat.example/path. Only what is listed here is ever
loaded: services that run programs, write files or speak to this machine are none of them.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from integrations.errors import AddressRefused
from integrations.http import check_url

LONGEST_ADDRESS = 500


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `hosts` are where its calls may go; empty where the address names the host itself."""

    label: str
    plugin: str  # module and class below apprise.plugins
    example: str
    hosts: tuple[str, ...] = ()
    # Whether a good answer means that the message stands in the channel, not only that it was taken.
    confirms: bool = True
    encrypted: bool = True


_OWN = {
    "json": ("A webhook of your own", "custom_json:NotifyJSON", "jsons://host/path"),
    "mmost": ("Mattermost", "mattermost:NotifyMattermost", "mmosts://host/token"),
    "ntfy": ("ntfy", "ntfy:NotifyNtfy", "ntfys://host/topic"),
    "gotify": ("Gotify", "gotify:NotifyGotify", "gotifys://host/token"),
}
SERVICES: dict[str, Service] = {
    "slack": Service("Slack", "slack:NotifySlack", "slack://TokenA/TokenB/TokenC", ("hooks.slack.com", "slack.com")),
    "discord": Service(
        "Discord", "discord:NotifyDiscord", "discord://webhook-id/token", ("discord.com",), confirms=False
    ),
    "tgram": Service("Telegram", "telegram:NotifyTelegram", "tgram://bot-token/chat-id", ("api.telegram.org",)),
    "gchat": Service(
        "Google Chat", "google_chat:NotifyGoogleChat", "gchat://workspace/key/token", ("chat.googleapis.com",)
    ),
    "zulip": Service("Zulip", "zulip:NotifyZulip", "zulip://bot@organization/token/stream", (".zulipchat.com",)),
}
for _name, (_label, _plugin, _example) in _OWN.items():
    SERVICES[f"{_name}s"] = Service(_label, _plugin, _example)
    SERVICES[_name] = Service(f"{_label}, not encrypted", _plugin, _example, encrypted=False)

_SCHEME = re.compile(r"([a-z]{2,12})://(?=[^/])")


@dataclass(frozen=True, slots=True)
class Read:
    """What an address says: the service's name, whom its calls may reach, and what of it may be shown."""

    scheme: str
    service: Service
    hosts: tuple[str, ...]
    shown: str


def read(address: str) -> Read:
    """Read the address of a channel. Raises AddressRefused with a sentence.

    Options after a question mark are refused: they can switch off certificates, and name files of this machine.
    """
    if len(address) > LONGEST_ADDRESS:
        raise AddressRefused(f"An address has at most {LONGEST_ADDRESS} characters.")
    if not address.isascii() or re.search(r"[\x00-\x20\\]", address):
        raise AddressRefused("The address has a character that no address has.")
    if "?" in address or "#" in address:
        raise AddressRefused("The address may have neither a question mark nor a fragment: options are not taken.")
    begins = _SCHEME.match(address)
    service = SERVICES.get(begins[1]) if begins else None
    if begins is None or service is None:
        raise AddressRefused(f"Begin with one of: {', '.join(f'{name}://' for name in SERVICES)}.")
    if service.hosts:
        return Read(begins[1], service, service.hosts, service.label)
    host = _host_of(address, service)
    return Read(begins[1], service, (host,), f"{service.label} at {host}")


def _host_of(address: str, service: Service) -> str:
    """The host an address names itself, refused where the door would refuse it."""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise AddressRefused("That is not an address.") from error
    if ".." in unquote(parts.path) or "%" in parts.netloc:
        raise AddressRefused("The address may not lead upwards, nor hide its host.")
    named = f"[{host}]" if ":" in host else host
    where = f"{named}:{port}" if port else named
    check_url(f"{'https' if service.encrypted else 'http'}://{where}")
    return host
