"""Watching over the desk itself: heartbeats of its processes, what is due, and alerts about what is wrong."""
