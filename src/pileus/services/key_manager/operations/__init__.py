"""Durable verbs."""
