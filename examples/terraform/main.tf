# A server on a network of its own; the cloud is whatever OS_... or clouds.yaml say.
terraform {
  required_providers {
    openstack = { source = "terraform-provider-openstack/openstack" }
  }
}

provider "openstack" {}

resource "openstack_networking_network_v2" "front" {
  name = "front"
}

resource "openstack_networking_subnet_v2" "front" {
  name       = "front"
  network_id = openstack_networking_network_v2.front.id
  cidr       = "10.9.0.0/24"
}

resource "openstack_networking_secgroup_v2" "ssh" {
  name = "ssh-only"
}

resource "openstack_networking_secgroup_rule_v2" "ssh" {
  security_group_id = openstack_networking_secgroup_v2.ssh.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 22
  port_range_max    = 22
}

resource "openstack_compute_instance_v2" "web" {
  name            = "web"
  image_name      = "debian-12"
  flavor_name     = "small"
  security_groups = [openstack_networking_secgroup_v2.ssh.name]

  network {
    uuid = openstack_networking_network_v2.front.id
  }

  depends_on = [openstack_networking_subnet_v2.front]
}

output "address" {
  value = openstack_compute_instance_v2.web.access_ip_v4
}
