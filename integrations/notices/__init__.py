"""Messages to people: written with the change they tell of, delivered afterwards, the delivery recorded."""

from integrations.notices.delivering import MOST_ATTEMPTS, deliver_due
from integrations.notices.telling import tell

__all__ = ["MOST_ATTEMPTS", "deliver_due", "tell"]
