"""Where an import may take bytes from."""
