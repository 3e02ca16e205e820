"""What clients ask: one module for each kind of thing."""
