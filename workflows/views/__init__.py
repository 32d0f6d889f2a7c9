"""The pages of the engine: runs, failures, and what could not be read."""
