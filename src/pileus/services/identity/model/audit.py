"""Names that the audit shares with the work that cleans up after it."""

from datetime import timedelta

CONSUMER = "identity.audit"
"""Who writes the records of identity's events."""
AUTHENTICATE = "identity.authenticate"
"""The kind of the event of a log-in."""
REFUSED = "identity.request.refused"
"""The kind of the event of a change that was refused: of a kind of its own, since nothing was changed."""
ATTEMPTS_KEPT = timedelta(hours=1)
"""How long the events of log-ins and refusals are kept; their records stay in the audit's file."""
