"""Decisions of placement: what fits where, and who may take it."""
