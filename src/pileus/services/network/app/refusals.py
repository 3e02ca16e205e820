"""The refusals that many decisions share, with the type and the status that clients know them by."""

from pileus.kernel.errors import Conflict, Invalid, NotFound


def invalid(message: str) -> Invalid:
    """The request contradicts itself or the rows: type InvalidInput."""
    return Invalid(f"Invalid input for operation: {message}", kind="InvalidInput")


def bad_request(resource: str, message: str) -> Invalid:
    """The request cannot be granted on this resource: type BadRequest."""
    return Invalid(f"Bad {resource} request: {message}", kind="BadRequest")


def network_not_found(id: str) -> NotFound:
    return NotFound(f"Network {id} could not be found.", kind="NetworkNotFound")


def subnet_not_found(id: str) -> NotFound:
    return NotFound(f"Subnet {id} could not be found.", kind="SubnetNotFound")


def port_not_found(id: str) -> NotFound:
    return NotFound(f"Port {id} could not be found.", kind="PortNotFound")


def group_not_found(id: str) -> NotFound:
    return NotFound(f"Security group {id} does not exist", kind="SecurityGroupNotFound")


def in_use(kind: str, message: str) -> Conflict:
    return Conflict(message, kind=kind)
