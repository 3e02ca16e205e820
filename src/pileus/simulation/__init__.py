"""A whole cloud on virtual time and one seed, under attack: users, faults, an auditor, and a way to tell the story.

Rule: it stands above all services, beside the command line, and nothing imports it but the command line and tests.
"""
