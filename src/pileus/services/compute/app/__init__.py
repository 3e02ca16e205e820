"""Decisions that span resources: what a request means, before any of it happens."""
