"""Ids of other things, as the bodies of this API hold them; the kernel loads what they refer to."""

from typing import Annotated

from pileus.kernel.rest import Id
from pileus.kernel.rest.references import Refers
from pileus.kernel.rest.regular import Uuid

NetworkId = Annotated[Uuid, Refers("network")]
SubnetId = Annotated[Uuid, Refers("subnet")]
PortId = Annotated[Uuid, Refers("port")]
GroupId = Annotated[Id, Refers("security_group")]
SubnetPoolId = Annotated[Uuid, Refers("subnetpool")]
AddressScopeId = Annotated[Uuid, Refers("address_scope")]
UsableGroupId = Annotated[Uuid, Refers("security_group", loaded=False)]
"""A port's groups are looked up where Compute sets them too: ``groups.usable_groups``."""
ONE_OF_NETWORK = Refers("subnet", loaded=False, at="subnet_id")
"""On the objects of ``fixed_ips``: a subnet is looked for among those of the port's network, and only there."""
