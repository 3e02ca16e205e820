"""A real cloud under test: its APIs over HTTP, its processes to be killed, and its host compared with its rows."""
