"""What is decided: contents."""
