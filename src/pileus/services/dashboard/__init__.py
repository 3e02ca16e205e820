"""The dashboard: pages over the public APIs, rendered on the server."""
