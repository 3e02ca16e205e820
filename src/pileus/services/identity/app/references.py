"""Ids of other things in Identity's bodies and queries.

Rule: none is loaded before the handler asks.  Who may name a domain, a project or a user is judged by the rule of the
operation on the very id, and only who may is told that there is none (``judge_missing``).
"""

from typing import Annotated

from pileus.kernel.rest.bounds import Id
from pileus.kernel.rest.references import Refers

UserId = Annotated[Id, Refers("user", loaded=False)]
ProjectId = Annotated[Id, Refers("project", loaded=False)]
DomainId = Annotated[Id, Refers("domain", loaded=False)]
RoleId = Annotated[Id, Refers("role", loaded=False)]
TrustId = Annotated[Id, Refers("trust", loaded=False)]
ServiceId = Annotated[Id, Refers("service", loaded=False)]
RegionId = Annotated[Id, Refers("region", loaded=False)]
MappingId = Annotated[Id, Refers("mapping", loaded=False)]
ProviderId = Annotated[Id, Refers("identity_provider", loaded=False)]
ProtocolId = Annotated[Id, Refers("protocol", loaded=False)]
AccessRuleId = Annotated[Id, Refers("access_rule", loaded=False)]
EndpointGroupId = Annotated[Id, Refers("endpoint_group", loaded=False)]
