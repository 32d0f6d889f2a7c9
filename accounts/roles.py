"""Roles and what each may do. A permission nobody lists is a permission nobody has."""

from django.db import models


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    MANAGER = "manager", "Manager"
    ADMIN = "admin", "Admin"
    AUDITOR = "auditor", "Auditor"


class Permission(models.TextChoices):
    SEE_DESK = "see_desk", "see cases, reviews and runs"
    DECIDE = "decide", "vote on reviews"
    CORRECT = "correct", "correct the data of a case"
    COMMENT = "comment", "comment on cases"
    ASK = "ask", "fill in forms that open cases"
    MANAGE = "manage", "object, reassign and read escalations"
    REPAIR = "repair", "work on failures and runs"
    CONNECT = "connect", "see and pause connections"
    CONFIGURE = "configure", "change thresholds, rules and people in the admin"
    RECOVER = "recover", "declare a recovery, and sign its end"
    READ_AUDIT = "read_audit", "read the audit log"
    SHARE_VIEWS = "share_views", "share views of lists with the organization"
    EXPORT = "export", "take lists away as files"
    KEEP_AUDIT = "keep_audit", "set how long records are kept, and what is held"


_DESK = {Permission.SEE_DESK}
_WORK = _DESK | {Permission.DECIDE, Permission.CORRECT, Permission.ASK, Permission.COMMENT}
GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset(_DESK),
    Role.OPERATOR: frozenset(_WORK),
    Role.MANAGER: frozenset(
        _WORK
        | {
            Permission.MANAGE,
            Permission.REPAIR,
            Permission.READ_AUDIT,
            Permission.SHARE_VIEWS,
            Permission.EXPORT,
        }
    ),
    Role.ADMIN: frozenset(
        _DESK
        | {
            Permission.COMMENT,
            Permission.MANAGE,
            Permission.REPAIR,
            Permission.CONNECT,
            Permission.CONFIGURE,
            Permission.RECOVER,
            Permission.READ_AUDIT,
            Permission.SHARE_VIEWS,
            Permission.EXPORT,
            Permission.KEEP_AUDIT,
        }
    ),
    Role.AUDITOR: frozenset(_DESK | {Permission.READ_AUDIT, Permission.EXPORT, Permission.KEEP_AUDIT}),
}


def roles_with(permission: Permission) -> list[Role]:
    """The roles that grant a permission."""
    return [role for role, granted in GRANTS.items() if permission in granted]
