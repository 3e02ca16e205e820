"""The kill matrix: every operation, every step, every kind of interruption; ``python -m tests.matrix``."""
