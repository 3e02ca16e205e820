#!/bin/bash
# needs: go
set -eu
exec go run .
