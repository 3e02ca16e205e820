# A shop of three tiers in a project of its own, as administrators write it: everything at once, nothing serialised.
terraform {
  required_providers {
    openstack = { source = "terraform-provider-openstack/openstack" }
  }
}

provider "openstack" {}

variable "web_servers" {
  type    = number
  default = 3
}
variable "data_gib" {
  type    = number
  default = 1
}
variable "open_ports" {
  type    = list(number)
  default = [80, 443]
}
variable "stage" { default = "test" }
variable "public_key" {}
variable "image_file" {}
variable "public_network" { default = "public" }

data "openstack_networking_network_v2" "public" { name = var.public_network }
data "openstack_images_image_v2" "mini" { name = "pileus-mini" }
data "openstack_identity_role_v3" "member" { name = "member" }

# People
resource "openstack_identity_project_v3" "shop" {
  name        = "shop"
  description = "The shop, ${var.stage}"
  tags        = ["shop", var.stage]
}
resource "openstack_identity_user_v3" "robot" {
  name               = "shop-robot"
  password           = "correct-horse-battery-9"
  default_project_id = openstack_identity_project_v3.shop.id
  extra              = { email = "robot@shop.example" }
}
resource "openstack_identity_group_v3" "staff" { name = "shop-staff" }
resource "openstack_identity_user_membership_v3" "robot" {
  user_id  = openstack_identity_user_v3.robot.id
  group_id = openstack_identity_group_v3.staff.id
}
resource "openstack_identity_role_v3" "cashier" { name = "cashier" }
resource "openstack_identity_role_assignment_v3" "staff" {
  group_id   = openstack_identity_group_v3.staff.id
  project_id = openstack_identity_project_v3.shop.id
  role_id    = openstack_identity_role_v3.cashier.id
}
resource "openstack_identity_role_assignment_v3" "robot" {
  user_id    = openstack_identity_user_v3.robot.id
  project_id = openstack_identity_project_v3.shop.id
  role_id    = data.openstack_identity_role_v3.member.id
}
resource "openstack_identity_application_credential_v3" "deploy" {
  name  = "deploy"
  roles = ["member"]
}
resource "openstack_compute_quotaset_v2" "shop" {
  project_id = openstack_identity_project_v3.shop.id
  instances  = 20
  cores      = 40
}
resource "openstack_blockstorage_quotaset_v3" "shop" {
  project_id = openstack_identity_project_v3.shop.id
  volumes    = 30
  gigabytes  = 300
}
resource "openstack_networking_quota_v2" "shop" {
  project_id = openstack_identity_project_v3.shop.id
  network    = 5
  port       = 100
  floatingip = 10
}

# Networks
resource "openstack_networking_network_v2" "tier" {
  for_each    = toset(["front", "back"])
  name        = "shop-${each.key}"
  description = "Tier ${each.key}"
  tags        = ["shop", each.key]
}
resource "openstack_networking_subnet_v2" "tier" {
  for_each        = { front = "10.61.0.0/24", back = "10.62.0.0/24" }
  name            = "shop-${each.key}"
  network_id      = openstack_networking_network_v2.tier[each.key].id
  cidr            = each.value
  dns_nameservers = ["192.0.2.53", "192.0.2.54"]
  allocation_pool {
    start = cidrhost(each.value, 10)
    end   = cidrhost(each.value, 199)
  }
}
resource "openstack_networking_subnet_v2" "six" {
  name              = "shop-front-6"
  network_id        = openstack_networking_network_v2.tier["front"].id
  cidr              = "fd61::/64"
  ip_version        = 6
  ipv6_address_mode = "slaac"
  ipv6_ra_mode      = "slaac"
  # Ports that come between would have one address or two, as it happens.
  depends_on = [openstack_networking_subnet_v2.tier]
}
resource "openstack_networking_router_v2" "shop" {
  name                = "shop"
  external_network_id = data.openstack_networking_network_v2.public.id
}
resource "openstack_networking_router_interface_v2" "tier" {
  for_each  = openstack_networking_subnet_v2.tier
  router_id = openstack_networking_router_v2.shop.id
  subnet_id = each.value.id
}
resource "openstack_networking_router_route_v2" "office" {
  router_id        = openstack_networking_router_v2.shop.id
  destination_cidr = "10.99.0.0/16"
  next_hop         = "10.62.0.250"
  depends_on       = [openstack_networking_router_interface_v2.tier]
}
resource "openstack_networking_secgroup_v2" "web" {
  name                 = "shop-web"
  description          = "The shop's door"
  delete_default_rules = true
  stateful             = true
}
resource "openstack_networking_secgroup_rule_v2" "web" {
  for_each          = toset([for port in var.open_ports : tostring(port)])
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = each.value
  port_range_max    = each.value
  remote_ip_prefix  = "0.0.0.0/0"
  security_group_id = openstack_networking_secgroup_v2.web.id
}
resource "openstack_networking_secgroup_rule_v2" "out" {
  for_each          = toset(["IPv4", "IPv6"])
  direction         = "egress"
  ethertype         = each.key
  security_group_id = openstack_networking_secgroup_v2.web.id
}
resource "openstack_networking_secgroup_rule_v2" "among" {
  direction         = "ingress"
  ethertype         = "IPv4"
  remote_group_id   = openstack_networking_secgroup_v2.web.id
  security_group_id = openstack_networking_secgroup_v2.web.id
}
resource "openstack_networking_port_v2" "web" {
  count              = var.web_servers
  name               = "shop-web-${count.index}"
  network_id         = openstack_networking_network_v2.tier["front"].id
  security_group_ids = [openstack_networking_secgroup_v2.web.id]
  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.tier["front"].id
    ip_address = cidrhost("10.61.0.0/24", 20 + count.index)
  }
  fixed_ip { subnet_id = openstack_networking_subnet_v2.six.id }
  allowed_address_pairs { ip_address = "10.61.0.5" }
}
resource "openstack_networking_port_v2" "second" {
  count          = var.web_servers
  name           = "shop-second-${count.index}"
  network_id     = openstack_networking_network_v2.tier["back"].id
  admin_state_up = true
  fixed_ip { subnet_id = openstack_networking_subnet_v2.tier["back"].id }
}
resource "openstack_networking_floatingip_v2" "web" {
  count       = var.web_servers
  pool        = var.public_network
  description = "door ${count.index}"
}
resource "openstack_networking_floatingip_associate_v2" "web" {
  count       = var.web_servers
  floating_ip = openstack_networking_floatingip_v2.web[count.index].address
  port_id     = openstack_networking_port_v2.web[count.index].id
  depends_on  = [openstack_networking_router_interface_v2.tier]
}
resource "openstack_networking_rbac_policy_v2" "back" {
  action        = "access_as_shared"
  object_type   = "network"
  object_id     = openstack_networking_network_v2.tier["back"].id
  target_tenant = openstack_identity_project_v3.shop.id
}

# Servers
resource "openstack_compute_keypair_v2" "shop" {
  name       = "shop"
  public_key = file(var.public_key)
}
resource "openstack_compute_flavor_v2" "web" {
  name        = "shop.web"
  vcpus       = 1
  ram         = 256
  disk        = 1
  is_public   = false
  extra_specs = { "hw:cpu_policy" = "shared" }
}
resource "openstack_compute_flavor_access_v2" "shop" {
  tenant_id = openstack_identity_project_v3.shop.id
  flavor_id = openstack_compute_flavor_v2.web.id
}
resource "openstack_compute_servergroup_v2" "web" {
  name     = "shop-web"
  policies = ["soft-anti-affinity"]
}
resource "openstack_images_image_v2" "shop" {
  name             = "shop"
  local_file_path  = var.image_file
  container_format = "bare"
  disk_format      = "raw"
  min_disk_gb      = 1
  tags             = ["shop"]
  properties       = { stage = var.stage, os_distro = "debian" }
}
resource "openstack_compute_instance_v2" "web" {
  count     = var.web_servers
  name      = "shop-web-${count.index}"
  image_id  = openstack_images_image_v2.shop.id
  flavor_id = openstack_compute_flavor_v2.web.id
  key_pair  = openstack_compute_keypair_v2.shop.name
  user_data = "#!/bin/sh\necho ${var.stage}\n"
  metadata  = { stage = var.stage, number = count.index }
  tags      = ["shop", "web"]
  network { port = openstack_networking_port_v2.web[count.index].id }
  scheduler_hints { group = openstack_compute_servergroup_v2.web.id }
}
resource "openstack_blockstorage_volume_v3" "data" {
  count    = 2 * var.web_servers
  name     = "shop-data-${count.index}"
  size     = var.data_gib
  metadata = { stage = var.stage }
  # The provider asks for what an attached volume needs.
  enable_online_resize = true
}
resource "openstack_compute_volume_attach_v2" "data" {
  count       = 2 * var.web_servers
  instance_id = openstack_compute_instance_v2.web[floor(count.index / 2)].id
  volume_id   = openstack_blockstorage_volume_v3.data[count.index].id
}
resource "openstack_compute_interface_attach_v2" "second" {
  count       = var.web_servers
  instance_id = openstack_compute_instance_v2.web[count.index].id
  port_id     = openstack_networking_port_v2.second[count.index].id
}
resource "openstack_compute_instance_v2" "database" {
  name                = "shop-database"
  flavor_name         = "pileus.mini"
  security_groups     = ["default"]
  stop_before_destroy = true
  block_device {
    uuid                  = data.openstack_images_image_v2.mini.id
    source_type           = "image"
    destination_type      = "volume"
    volume_size           = 1
    boot_index            = 0
    delete_on_termination = true
  }
  network { uuid = openstack_networking_network_v2.tier["back"].id }
  depends_on = [openstack_networking_subnet_v2.tier]
}
resource "openstack_blockstorage_volume_type_v3" "fast" {
  name        = "shop-fast"
  description = "For the shop"
}

# Objects
resource "openstack_objectstorage_container_v1" "pictures" {
  name           = "shop-pictures"
  container_read = ".r:*,.rlistings"
  metadata       = { stage = var.stage }
  force_destroy  = true
}
resource "openstack_objectstorage_object_v1" "picture" {
  count          = 5
  container_name = openstack_objectstorage_container_v1.pictures.name
  name           = "pictures/${count.index} ä.txt"
  content        = "picture ${count.index} of ${var.stage}"
  content_type   = "text/plain"
}

output "doors" { value = openstack_networking_floatingip_v2.web[*].address }
output "imports" {
  value = {
    "openstack_networking_network_v2.tier[\"front\"]"          = openstack_networking_network_v2.tier["front"].id
    "openstack_networking_subnet_v2.tier[\"back\"]"            = openstack_networking_subnet_v2.tier["back"].id
    "openstack_networking_router_v2.shop"                      = openstack_networking_router_v2.shop.id
    "openstack_networking_router_interface_v2.tier[\"front\"]" = openstack_networking_router_interface_v2.tier["front"].port_id
    "openstack_networking_port_v2.web[0]"                      = openstack_networking_port_v2.web[0].id
    "openstack_networking_floatingip_v2.web[0]"                = openstack_networking_floatingip_v2.web[0].id
    "openstack_networking_rbac_policy_v2.back"                 = openstack_networking_rbac_policy_v2.back.id
    "openstack_compute_keypair_v2.shop"                        = openstack_compute_keypair_v2.shop.name
    "openstack_compute_flavor_v2.web"                          = openstack_compute_flavor_v2.web.id
    "openstack_compute_volume_attach_v2.data[0]"               = openstack_compute_volume_attach_v2.data[0].id
    "openstack_blockstorage_volume_v3.data[1]"                 = openstack_blockstorage_volume_v3.data[1].id
    "openstack_identity_project_v3.shop"                       = openstack_identity_project_v3.shop.id
    "openstack_identity_role_assignment_v3.robot"              = openstack_identity_role_assignment_v3.robot.id
  }
}
