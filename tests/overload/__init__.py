"""Clients that misbehave against a real server process: ``python -m tests.overload``."""
