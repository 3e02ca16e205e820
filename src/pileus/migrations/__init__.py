"""The revisions of the database's schema, one linear chain for all services: files follow each other by number.

Rule: a revision that was in a release never changes; whoever changes a model writes the next one.
"""
