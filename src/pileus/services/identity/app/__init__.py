"""Decisions of identity that span resources: who proves what, and what that grants."""
