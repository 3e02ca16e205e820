"""Placement: who offers how much of what, and who holds it."""
