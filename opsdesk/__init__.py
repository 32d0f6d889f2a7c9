"""opsdesk: the desk from which an operations team runs its coordination work."""
