"""Decisions of object storage: who may, what is kept, which bytes answer."""
