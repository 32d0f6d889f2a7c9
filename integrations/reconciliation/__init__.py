"""Comparing gateways with the desk: asking and running, comparing, what was lost by a restore, settling, the pages."""
