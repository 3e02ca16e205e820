"""Boots servers that are all alike, and boots another where one fails."""

import openstack


class FleetError(Exception):
    """The fleet is not what it should be; says why."""


def launch(cloud: openstack.connection.Connection, prefix: str, count: int, *, attempts: int = 2) -> list[str]:
    """Boot ``count`` servers; return their ids.  One that fails is replaced, ``attempts`` times in all."""
    image = cloud.image.find_image("debian-12", ignore_missing=False)
    flavor = cloud.compute.find_flavor("small", ignore_missing=False)
    network = cloud.network.find_network("backbone", ignore_missing=False)
    ids = []
    for number in range(count):
        for attempt in range(1, attempts + 1):
            server = cloud.compute.create_server(
                name=f"{prefix}-{number}", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}]
            )
            try:
                ids.append(cloud.compute.wait_for_server(server, interval=0.1, wait=30).id)
                break
            except openstack.exceptions.ResourceFailure as error:
                why = cloud.compute.get_server(server.id).fault or {}
                cloud.compute.delete_server(server.id)
                cloud.compute.wait_for_delete(server, interval=0.1, wait=30)
                if attempt == attempts:
                    raise FleetError(f"{server.name}: {why.get('message', error)}") from error
    return ids
