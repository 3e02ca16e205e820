"""The version documents, and the list of extensions of old."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound
from pileus.kernel.rest import Response, json_response
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import PATH, VERSIONS, api, documents

UPDATED = {"v2.0": "2011-01-21T11:33:21Z", "v2.1": "2013-07-23T11:33:21Z"}
MEDIA = [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]
EXTENSIONS = {
    "NMN": "Multinic",
    "OS-DCF": "DiskConfig",
    "OS-EXT-AZ": "ExtendedAvailabilityZone",
    "OS-EXT-IMG-SIZE": "ImageSize",
    "OS-EXT-IPS": "ExtendedIps",
    "OS-EXT-IPS-MAC": "ExtendedIpsMac",
    "OS-EXT-SRV-ATTR": "ExtendedServerAttributes",
    "OS-EXT-STS": "ExtendedStatus",
    "OS-FLV-DISABLED": "FlavorDisabled",
    "OS-FLV-EXT-DATA": "FlavorExtraData",
    "OS-SCH-HNT": "SchedulerHints",
    "OS-SRV-USG": "ServerUsage",
    "os-admin-actions": "AdminActions",
    "os-aggregates": "Aggregates",
    "os-agents": "Agents",
    "os-attach-interfaces": "AttachInterfaces",
    "os-availability-zone": "AvailabilityZone",
    "os-block-device-mapping-v2-boot": "BlockDeviceMappingV2Boot",
    "os-cells": "Cells",
    "os-certificates": "Certificates",
    "os-cloudpipe": "Cloudpipe",
    "os-config-drive": "ConfigDrive",
    "os-console-auth-tokens": "ConsoleAuthTokens",
    "os-console-output": "Console_output",
    "os-consoles": "Consoles",
    "os-create-backup": "CreateBackup",
    "os-deferred-delete": "DeferredDelete",
    "os-evacuate": "Evacuate",
    "os-extended-quotas": "ExtendedQuotas",
    "os-extended-services": "ExtendedServices",
    "os-extended-services-delete": "ExtendedServicesDelete",
    "os-extended-status": "ExtendedStatus",
    "os-extended-volumes": "ExtendedVolumes",
    "os-fixed-ips": "FixedIPs",
    "os-flavor-access": "FlavorAccess",
    "os-flavor-extra-specs": "FlavorExtraSpecs",
    "os-flavor-manage": "FlavorManage",
    "os-flavor-rxtx": "FlavorRxtx",
    "os-flavor-swap": "FlavorSwap",
    "os-floating-ip-dns": "FloatingIpDns",
    "os-floating-ips-bulk": "FloatingIpsBulk",
    "os-fping": "Fping",
    "os-hosts": "Hosts",
    "os-hypervisor-status": "HypervisorStatus",
    "os-hypervisors": "Hypervisors",
    "os-instance-actions": "InstanceActions",
    "os-keypairs": "Keypairs",
    "os-lock-server": "LockServer",
    "os-migrate-server": "MigrateServer",
    "os-migrations": "Migrations",
    "os-multiple-create": "MultipleCreate",
    "os-pause-server": "PauseServer",
    "os-personality": "Personality",
    "os-quota-class-sets": "QuotaClasses",
    "os-quota-sets": "Quotas",
    "os-rescue": "Rescue",
    "os-security-group-default-rules": "SecurityGroupDefaultRules",
    "os-security-groups": "SecurityGroups",
    "os-server-diagnostics": "ServerDiagnostics",
    "os-server-external-events": "ServerExternalEvents",
    "os-server-group-quotas": "ServerGroupQuotas",
    "os-server-groups": "ServerGroups",
    "os-server-list-multi-status": "ServerListMultiStatus",
    "os-server-password": "ServerPassword",
    "os-server-sort-keys": "ServerSortKeys",
    "os-server-start-stop": "ServerStartStop",
    "os-services": "Services",
    "os-shelve": "Shelve",
    "os-simple-tenant-usage": "SimpleTenantUsage",
    "os-suspend-server": "SuspendServer",
    "os-used-limits": "UsedLimits",
    "os-used-limits-for-admin": "UsedLimitsForAdmin",
    "os-user-data": "UserData",
    "os-user-quotas": "UserQuotas",
    "os-virtual-interfaces": "VirtualInterfaces",
    "os-volume-attachment-update": "VolumeAttachmentUpdate",
}
"""Upstream's list, which has not changed since version 2.1 and says nothing of what a cloud offers: old clients look
for names in it.  Left out are those whose requests upstream passes on to other services, which nothing here does."""


def _version(ctx: Context, id: str) -> dict[str, Any]:
    current = id == "v2.1"
    return {
        "id": id,
        "status": "CURRENT" if current else "SUPPORTED",
        "version": VERSIONS.maximum if current else "",
        "min_version": VERSIONS.minimum if current else "",
        "updated": UPDATED[id],
        "links": [{"rel": "self", "href": f"{ctx.base_url}{PATH}/{'v2.1' if current else 'v2'}/"}],
    }


def _one(ctx: Context, id: str) -> dict[str, Any]:
    version = _version(ctx, id)
    described = {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/api-ref/compute/"}
    return {"version": {**version, "links": [*version["links"], described], "media-types": MEDIA}}


@documents.get("", None)
def choices(ctx: Context) -> Response:
    return json_response({"versions": [_version(ctx, id) for id in UPDATED]})


@documents.get("/v2.1", None)
def version_2_1(ctx: Context) -> dict[str, Any]:
    return _one(ctx, "v2.1")


@documents.get("/v2", None)
def version_2(ctx: Context) -> dict[str, Any]:
    return _one(ctx, "v2.0")


def _extension(alias: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": EXTENSIONS[alias],
        "description": f"{EXTENSIONS[alias]}: part of the API itself since version 2.1.",
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
        "links": [],
    }


@api.get("/extensions", rules.EXTENSIONS, wrap="extensions")
def list_extensions() -> list[dict[str, Any]]:
    return [_extension(alias) for alias in EXTENSIONS]


@api.get("/extensions/{alias}", rules.EXTENSIONS, wrap="extension")
def show_extension(alias: str) -> dict[str, Any]:
    if alias not in EXTENSIONS:
        raise NotFound(f"There is no extension {alias}.")
    return _extension(alias)
