"""RBAC policies: who else may use a network, a security group, a subnet pool or an address scope."""

from typing import Annotated, Literal

import msgspec

from pileus.kernel.policy import ADMIN
from pileus.kernel.rest.references import Refers, SomeProject
from pileus.kernel.rest.regular import Attr, Extension, Resource, Uuid, text
from pileus.services.network.api.root import api
from pileus.services.network.app import sharing as app
from pileus.services.network.model import Share

NOT_EVERYBODY = f"{ADMIN} or not '*':%(target_project)s"
PROJECT = text(r"^(\*|[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12})$", "the id of a project, or '*'", 36)


SharedId = Annotated[Uuid, Refers("shared_object", loaded=False)]
"""Of what kind it is says ``object_type``."""


class ShareAttributes(msgspec.Struct, kw_only=True):
    id: Annotated[str, Attr(on="v")] = ""
    project_id: Annotated[SomeProject, Attr(on="cv")] = ""
    tenant_id: Annotated[str, Attr(on="v", find="", source="project_id")] = ""
    object_type: Annotated[Literal["network", "security_group", "subnetpool", "address_scope"], Attr(on="cv")]
    object_id: Annotated[SharedId, Attr(on="cv")]
    target_tenant: Annotated[
        str,
        PROJECT,
        Refers("project", words=frozenset({"*"}), loaded=False),
        Attr(source="target_project", create=NOT_EVERYBODY, update=NOT_EVERYBODY),
    ]
    action: Annotated[Literal["access_as_shared", "access_as_external"], Attr(on="cv")]


shares = Resource(
    api, "rbac_policy", "rbac_policies", ShareAttributes, Share, title="RBAC policy", kind="RbacPolicy", quota=10,
    extension=Extension("rbac-policies", "RBAC Policies", "Networks can be shared with projects."),
)  # fmt: skip
shares.create(app.create_share)
shares.update(app.update_share)
shares.delete(app.delete_share)
shares.target(app.target)
