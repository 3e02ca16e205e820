"""A fresh, minimal Debian in which a clean clone does what the README says: ``python -m tests.fresh``."""
