"""The servers that come along: PostgreSQL and a Redis-compatible server, from packages, as child processes.

For trial, development and a small desk on one host.
`DATABASE_URL`, `REDIS_URL` and `BROKER_URL` name real servers instead.
"""
