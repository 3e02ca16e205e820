#!/bin/bash
# needs: go
set -eu
export OS_DOMAIN_ID="${OS_USER_DOMAIN_ID:-default}"  # the only name by which gophercloud knows a domain
exec go run .
