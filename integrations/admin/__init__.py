"""Outside systems in the admin: connections, their maintenance, the endpoints they knock at, and notices."""

from integrations.admin.connections import ConnectionAdmin, EndpointAdmin, MaintenanceWindowAdmin
from integrations.admin.notices import NoticeAdmin, NoticePolicyAdmin

__all__ = ["ConnectionAdmin", "EndpointAdmin", "MaintenanceWindowAdmin", "NoticeAdmin", "NoticePolicyAdmin"]
