"""The standing attack: every way that is known of reaching another tenant, the hosts, or everybody's time."""
