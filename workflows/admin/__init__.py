"""Definitions in the admin: workflows, their versions and rules, and the events that arrived."""

from workflows.admin.events import EventAdmin
from workflows.admin.rule_sets import RuleSetAdmin
from workflows.admin.rules import RuleAdmin
from workflows.admin.versions import VersionAdmin, WorkflowAdmin

__all__ = ["EventAdmin", "RuleAdmin", "RuleSetAdmin", "VersionAdmin", "WorkflowAdmin"]
