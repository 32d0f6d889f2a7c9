"""Connectors: one folder for each protocol of an outside system."""
