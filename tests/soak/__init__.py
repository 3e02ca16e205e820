"""A long run of a real cloud under load while its processes are killed at random: ``python -m tests.soak``."""
