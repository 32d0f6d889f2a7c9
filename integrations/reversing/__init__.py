"""Taking back what was done outside: what can be offered, the case that does it, and what stands."""
