"""Names of resources: Kubernetes' own, huge pages, and extended ones (pkg/apis/core/helper/helpers.go)."""

from __future__ import annotations

from podrun.api.validation.amounts import amount
from podrun.api.validation.field import Causes, Path, each_invalid, invalid, not_supported
from podrun.api.validation.names import qualified_name

HUGE_PAGES = "hugepages-"
OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")
OF_PODS = ("cpu", "hugepages-", "memory")
OBJECT_COUNTS = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
STANDARD = OBJECT_COUNTS | {
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "storage",
}


def is_huge_pages(name: str) -> bool:
    return name.startswith(HUGE_PAGES)


def is_native(name: str) -> bool:
    """Whether the name is Kubernetes' own: without a domain, or in its domain."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether the name is one that a device plugin could have registered."""
    return not is_native(name) and not name.startswith("requests.") and not qualified_name(f"requests.{name}")


def is_counted(name: str) -> bool:
    """Whether only whole numbers of this resource make sense."""
    return name in OBJECT_COUNTS or is_extended(name)


def may_overcommit(name: str) -> bool:
    """Whether a request may be lower than the limit."""
    return is_native(name) and not is_huge_pages(name)


def is_whole_pages(name: str, nano: int) -> bool:
    """Whether an amount (in billionths of a byte) of the huge pages `name` is a whole number of pages."""
    page = amount(name.removeprefix(HUGE_PAGES))
    if page is None or page.sign() <= 0 or page.milli_value() % 1000:
        return False
    whole_bytes = -(-nano // 10**9)
    return whole_bytes % page.value() == 0


def resource_name(name: str, path: Path) -> Causes:
    """The name of any resource."""
    problems = qualified_name(name)
    yield from each_invalid(path, name, problems)
    if not problems and "/" not in name and not is_standard(name):
        yield invalid(path, name, "must be a standard resource type or fully qualified")


def is_standard(name: str) -> bool:
    return name in STANDARD or name.startswith((HUGE_PAGES, "requests.hugepages-"))


def container_resource_name(name: str, path: Path) -> Causes:
    """The name of a resource that a container can have."""
    yield from resource_name(name, path)
    if "/" not in name:
        if name not in OF_CONTAINERS and not is_huge_pages(name):
            yield invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield invalid(path, name, "doesn't follow extended resource name standard")


def pod_resource_name(name: str, path: Path) -> Causes:
    """The name of a resource that a pod as a whole can have (KEP-2837)."""
    causes = list(resource_name(name, path))
    yield from causes
    if not causes and name not in ("cpu", "memory") and not is_huge_pages(name):
        yield not_supported(path, name, OF_PODS)
