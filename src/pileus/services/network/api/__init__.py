"""The Networking API v2.0: one file per resource.  Reference: https://docs.openstack.org/api-ref/network/v2/"""
