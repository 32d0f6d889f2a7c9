"""The pages that belong to no single app: home, stalled, search, health, errors."""
