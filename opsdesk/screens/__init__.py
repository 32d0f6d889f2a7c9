"""What the screens that look across all apps are put together from: queries and geometry, no requests."""
