"""Pages about outside systems: all connections, one connection, every kill switch."""
