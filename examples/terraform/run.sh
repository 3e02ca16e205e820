#!/bin/bash
# needs: terraform
set -eu
terraform init -input=false
terraform apply -auto-approve -input=false
terraform plan -detailed-exitcode -input=false  # 0: there is nothing left to do
terraform destroy -auto-approve -input=false
