"""The one door out: everything the desk calls outside, it calls through here."""

from integrations.http.addresses import check_url
from integrations.http.answers import Answer
from integrations.http.door import Door
from integrations.http.transport import Limits

__all__ = ["Answer", "Door", "Limits", "check_url"]
