"""Outside systems in the admin: connections, their maintenance, and the endpoints they knock at."""

from integrations.admin.connections import ConnectionAdmin, EndpointAdmin, MaintenanceWindowAdmin

__all__ = ["ConnectionAdmin", "EndpointAdmin", "MaintenanceWindowAdmin"]
