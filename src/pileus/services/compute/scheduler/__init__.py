"""Which host a server goes to: filters say which may, weighers say which should."""

from pileus.services.compute.scheduler.choose import NoValidHost, Spans, choose
from pileus.services.compute.scheduler.model import Candidate, Demand

__all__ = ["Candidate", "Demand", "NoValidHost", "Spans", "choose"]
