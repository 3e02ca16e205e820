"""Taking over a Keystone: its database is read, never written, and what is in it becomes rows of this cloud."""
