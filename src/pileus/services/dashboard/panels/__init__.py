"""One module per entry of the menu; each defines `PANEL`."""
