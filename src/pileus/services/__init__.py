"""The services of Pileus, one folder each; a folder with a `service.py` is found and served."""
