#!/bin/bash
# needs: python
set -eu
exec python boot.py
