"""Volumes, snapshots and their attachments (block storage API v3, Cinder's)."""
