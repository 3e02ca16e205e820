"""The durable verbs of servers.  Importing this package declares them all."""

from pileus.services.compute.operations import create, delete, image, interfaces, power, rebuild, resize, volumes

__all__ = ["create", "delete", "image", "interfaces", "power", "rebuild", "resize", "volumes"]
