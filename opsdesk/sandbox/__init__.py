"""A pretend outside world for the demonstration and the tests: processes of their own."""
