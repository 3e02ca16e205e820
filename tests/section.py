"""Sections of documents that suites write, as commands do."""

from pileus.cli.section import write_into

__all__ = ["write_into"]
