"""Boots a server by openstacksdk, as any program would: the cloud is whatever OS_... or clouds.yaml say."""

import openstack

cloud = openstack.connect()
image = next(iter(cloud.image.images(visibility="public")))
flavor = min(cloud.compute.flavors(), key=lambda flavor: flavor.ram)
network = next(network for network in cloud.network.networks() if not network.is_router_external)
server = cloud.compute.create_server(
    name="example", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}]
)
server = cloud.compute.wait_for_server(server, interval=0.1)
print(server.name, server.status)
cloud.compute.delete_server(server)
cloud.compute.wait_for_delete(server, interval=0.1)
