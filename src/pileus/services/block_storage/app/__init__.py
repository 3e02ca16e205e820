"""Decisions of block storage that span rows.  One rule: everything in the caller's transaction, no I/O."""
