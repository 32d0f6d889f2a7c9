"""Outside systems in the admin: connections, and the endpoints they knock at."""

from integrations.admin.connections import ConnectionAdmin, EndpointAdmin

__all__ = ["ConnectionAdmin", "EndpointAdmin"]
