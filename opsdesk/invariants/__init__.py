"""What must hold whatever happened: asked of the rows, and of the gateway's own effect log."""

from opsdesk.invariants.checks import Finding, check_all

__all__ = ["Finding", "check_all"]
