"""The desk itself in the admin: errands that wait, views that people saved, lists they took away, people erased."""

from opsdesk.admin.errands import ErrandsAdmin
from opsdesk.admin.lists import ExportAdmin, SavedViewAdmin
from opsdesk.erasure.admin import PersonErasureAdmin

__all__ = ["ErrandsAdmin", "ExportAdmin", "PersonErasureAdmin", "SavedViewAdmin"]
