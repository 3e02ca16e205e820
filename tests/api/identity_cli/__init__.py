"""Every ``openstack`` command of identity.v3, typed as a user types it, against a served cloud."""
