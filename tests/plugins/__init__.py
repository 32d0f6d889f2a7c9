"""What every test session of the project needs before the first test, loaded by `-p` in pyproject.toml."""
