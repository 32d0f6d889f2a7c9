"""The desk: queue, case, leaving soon, escalations."""
