"""A stack of Terraform against a fake cloud: ``python -m tests.terraform``."""
