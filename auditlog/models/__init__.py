"""The audit log: append-only rows about who did what, when and why, their seals, and what may be taken out."""

from auditlog.models.entries import ActorKind, Change, Entry, append_only
from auditlog.models.retention import Erasure, LegalHold, Removal, RetentionPolicy
from auditlog.models.seals import ChangeSeal, Handing, Mark, Seal, Verification

__all__ = [
    "ActorKind",
    "Change",
    "ChangeSeal",
    "Entry",
    "Erasure",
    "Handing",
    "LegalHold",
    "Mark",
    "Removal",
    "RetentionPolicy",
    "Seal",
    "Verification",
    "append_only",
]
