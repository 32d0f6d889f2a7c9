"""The desk itself in the admin: errands that wait, views that people saved, and lists that they took away."""

from opsdesk.admin.errands import ErrandsAdmin
from opsdesk.admin.lists import ExportAdmin, SavedViewAdmin

__all__ = ["ErrandsAdmin", "ExportAdmin", "SavedViewAdmin"]
