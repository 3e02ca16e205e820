"""How volumes live on a host: one module or folder per driver, all keeping the promises in ``base.py``."""
