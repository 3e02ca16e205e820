"""Every endpoint of the OpenAPI document under wrong, hostile and nearly right requests: ``python -m tests.fuzz``."""
