"""Decisions of the image service: who sees what, what may change, how bytes become an image."""
