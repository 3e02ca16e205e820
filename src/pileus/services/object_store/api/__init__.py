"""The Swift v1 API: accounts, containers, objects, and what surrounds them."""
