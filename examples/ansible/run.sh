#!/bin/bash
# needs: ansible-playbook
set -eu
exec ansible-playbook -i localhost, playbook.yml
