"""Typed, frozen views of a Pod: what decides and what acts read these, never the dict on the wire.

`Pod.of(obj)` takes an object as the store holds it (defaulted and valid) and gives the view; fields that no part of
podrun reads are left out, and unknown ones are ignored. Attribute names are the API's in snake_case. Quantities stay
the strings of the wire (`podrun.api.quantity` computes with them), times stay RFC 3339.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

Object = Mapping[str, Any]


class View(BaseModel):
    """The base of every view: frozen, camelCase on the wire, blind to fields it does not name."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class ObjectMeta(View):
    """metadata of any object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None


# Environment


class FieldRef(View):
    """A field of the pod, as text."""

    field_path: str = ""


class ResourceFieldRef(View):
    """A request or limit of a container, divided and rounded up."""

    container_name: str = ""
    resource: str = ""
    divisor: str = "0"


class KeyRef(View):
    """A key of a ConfigMap or Secret."""

    name: str = ""
    key: str = ""
    optional: bool = False


class FileKeyRef(View):
    """A variable in an environment file on an emptyDir (KEP-3721)."""

    volume_name: str = ""
    path: str = ""
    key: str = ""
    optional: bool = False


class EnvVarSource(View):
    """Where a variable's value comes from; exactly one is set."""

    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None
    file_key_ref: FileKeyRef | None = None


class EnvVar(View):
    """One environment variable."""

    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


class ObjectRef(View):
    """A ConfigMap or Secret by name, in the pod's namespace."""

    name: str = ""
    optional: bool = False


class EnvFromSource(View):
    """Every key of a ConfigMap or Secret, with a prefix."""

    prefix: str = ""
    config_map_ref: ObjectRef | None = None
    secret_ref: ObjectRef | None = None


# Handlers and probes


class ExecAction(View):
    """A command run in the container."""

    command: tuple[str, ...] = ()


class HttpHeader(View):
    """A header of a request."""

    name: str
    value: str = ""


class HttpGetAction(View):
    """An HTTP GET; an empty host means the pod's address, a string port is a named one (or digits)."""

    path: str = ""
    port: int | str = 0
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocketAction(View):
    """A TCP connection."""

    port: int | str = 0
    host: str = ""


class GrpcAction(View):
    """A call of grpc.health.v1.Health/Check."""

    port: int = 0
    service: str | None = None


class SleepAction(View):
    """A pause."""

    seconds: int = 0


class Handler(View):
    """A lifecycle hook; exactly one is set."""

    exec: ExecAction | None = None
    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(View):
    """Hooks after the start and before the stop of a container."""

    post_start: Handler | None = None
    pre_stop: Handler | None = None
    stop_signal: str | None = None


class Probe(View):
    """A periodic check; times in seconds."""

    exec: ExecAction | None = None
    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    grpc: GrpcAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


# Security


class Capabilities(View):
    """Capabilities beyond and below the default set, without CAP_ in front."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class Profile(View):
    """A seccomp or AppArmor profile: RuntimeDefault, Unconfined or Localhost."""

    type: str = ""
    localhost_profile: str = ""


class SecurityContext(View):
    """A container's own security settings; None means the pod's, or the default."""

    privileged: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities | None = None
    proc_mount: str | None = None
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None


class Sysctl(View):
    """A kernel parameter of the pod's namespaces."""

    name: str
    value: str


class PodSecurityContext(View):
    """Security settings of the whole pod."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    sysctls: tuple[Sysctl, ...] = ()
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None


# Containers


class ContainerPort(View):
    """A port that a container listens on, and the host's port that leads to it (0: none)."""

    name: str = ""
    container_port: int
    host_port: int = 0
    host_ip: str = Field("", alias="hostIP")
    protocol: str = "TCP"


class VolumeMount(View):
    """A volume in a container."""

    name: str
    mount_path: str
    read_only: bool = False
    recursive_read_only: str | None = None
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str | None = None


class VolumeDevice(View):
    """A block volume as a device in a container."""

    name: str
    device_path: str = ""


class Resources(View):
    """requests and limits, resource name -> quantity."""

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_text(cls, value: Any) -> Any:
        """A quantity may stand as a number in JSON."""
        if not isinstance(value, Mapping):
            return value
        return {key: {k: str(v) for k, v in (value.get(key) or {}).items()} for key in ("requests", "limits")}


class ResizePolicy(View):
    """Whether a change of a resource restarts the container."""

    resource_name: str
    restart_policy: str


class ExitCodes(View):
    """Exit codes that a restart rule is about."""

    operator: str = "In"
    values: tuple[int, ...] = ()


class RestartRule(View):
    """What to do when a container exits with certain codes (KEP-5307)."""

    action: str
    exit_codes: ExitCodes | None = None


class Container(View):
    """A container, init container, native sidecar or ephemeral container (then with `target_container_name`)."""

    name: str
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    resources: Resources = Resources()
    resize_policy: tuple[ResizePolicy, ...] = ()
    restart_policy: str | None = None
    restart_policy_rules: tuple[RestartRule, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    volume_devices: tuple[VolumeDevice, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    security_context: SecurityContext = SecurityContext()
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    target_container_name: str = ""


# Volumes


class KeyToPath(View):
    """A key of a ConfigMap or Secret as a file."""

    key: str
    path: str
    mode: int | None = None


class EmptyDir(View):
    """A directory that lives as long as the pod; medium "" or "Memory"."""

    medium: str = ""
    size_limit: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _number_is_text(cls, value: Any) -> Any:
        limit = value.get("sizeLimit") if isinstance(value, Mapping) else None
        return {**value, "sizeLimit": str(limit)} if isinstance(limit, int | float) else value


class HostPath(View):
    """A path of the host."""

    path: str
    type: str = ""


class ConfigMapSource(View):
    """A ConfigMap as files (also as one source of a projected volume)."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class SecretSource(View):
    """A Secret as files."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class DownwardFile(View):
    """A field or resource of the pod as a file."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    mode: int | None = None


class DownwardSource(View):
    """Fields of the pod as files."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int | None = None


class TokenSource(View):
    """A ServiceAccount token as a file; lifetime in seconds."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class ProjectedPart(View):
    """One source of a projected volume; `secret` names its object `name`, as a ConfigMap does."""

    config_map: ConfigMapSource | None = None
    secret: ConfigMapSource | None = None
    downward_api: DownwardSource | None = Field(None, alias="downwardAPI")
    service_account_token: TokenSource | None = None
    cluster_trust_bundle: dict[str, Any] | None = None
    pod_certificate: dict[str, Any] | None = None


class ProjectedSource(View):
    """Several sources in one directory."""

    sources: tuple[ProjectedPart, ...] = ()
    default_mode: int | None = None


class ImageSource(View):
    """An image's files as a read-only volume (KEP-4639)."""

    reference: str = ""
    pull_policy: str = "IfNotPresent"


class ClaimSource(View):
    """A claim on storage of a cluster, of which there is none here: only its name is told."""

    claim_name: str


class Volume(View):
    """A volume; `kind` is the key of its source on the wire ("emptyDir", "nfs"), also of one podrun has no view of."""

    name: str
    kind: str = "emptyDir"
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward_api: DownwardSource | None = Field(None, alias="downwardAPI")
    projected: ProjectedSource | None = None
    image: ImageSource | None = None
    persistent_volume_claim: ClaimSource | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_the_source(cls, value: Any) -> Any:
        """A volume without a source is an emptyDir, as in Kubernetes."""
        if not isinstance(value, Mapping) or "kind" in value:
            return value
        kind = next((key for key in value if key != "name"), "emptyDir")
        return {"emptyDir": {}, **value, "kind": kind} if kind == "emptyDir" else {**value, "kind": kind}


# The pod


class HostAlias(View):
    """A line of /etc/hosts."""

    ip: str
    hostnames: tuple[str, ...] = ()


class DnsOption(View):
    """An option of /etc/resolv.conf."""

    name: str
    value: str | None = None


class DnsConfig(View):
    """What /etc/resolv.conf gets beyond the policy's."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class Toleration(View):
    """A taint that the pod bears."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class Requirement(View):
    """A requirement on a node's labels or fields."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class NodeTerm(View):
    """Requirements that must all hold."""

    match_expressions: tuple[Requirement, ...] = ()
    match_fields: tuple[Requirement, ...] = ()


class NodeSelector(View):
    """Terms of which one must hold."""

    node_selector_terms: tuple[NodeTerm, ...] = ()


class NodeAffinity(View):
    """Which nodes a pod may go to."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class LabelSelector(View):
    """A selector of pods by label; None of a list matches everything."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()


class PodAffinityTerm(View):
    """Pods that must, or must not, be near."""

    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    topology_key: str = ""


class PodAffinity(View):
    """Affinity, or anti-affinity, to other pods."""

    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()


class Affinity(View):
    """What draws the pod to a node, or keeps it off."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Named(View):
    """Something known by its name (a scheduling gate, a pull secret, a readiness gate by its `condition_type`)."""

    name: str = ""
    condition_type: str = ""


class TopologySpread(View):
    """How evenly pods are to be spread over a topology; on one node only a number of domains can ask too much."""

    topology_key: str = ""
    when_unsatisfiable: str = "DoNotSchedule"
    max_skew: int = 1
    min_domains: int | None = None
    label_selector: LabelSelector | None = None


class OperatingSystem(View):
    """Which operating system the pod is for."""

    name: str = ""


class PodSpec(View):
    """What a pod is to be."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig | None = None
    node_name: str = ""
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    host_network: bool = False
    host_pid: bool = Field(False, alias="hostPID")
    host_ipc: bool = Field(False, alias="hostIPC")
    host_users: bool | None = None
    share_process_namespace: bool = False
    security_context: PodSecurityContext = PodSecurityContext()
    image_pull_secrets: tuple[Named, ...] = ()
    hostname: str = ""
    hostname_override: str | None = None
    subdomain: str = ""
    set_hostname_as_fqdn: bool = Field(False, alias="setHostnameAsFQDN")
    host_aliases: tuple[HostAlias, ...] = ()
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    scheduler_name: str = "default-scheduler"
    scheduling_gates: tuple[Named, ...] = ()
    readiness_gates: tuple[Named, ...] = ()
    enable_service_links: bool = True
    priority: int | None = None
    priority_class_name: str = ""
    preemption_policy: str | None = None
    os: OperatingSystem | None = None
    resources: Resources | None = None
    overhead: dict[str, str] = {}
    resource_claims: tuple[Named, ...] = ()
    topology_spread_constraints: tuple[TopologySpread, ...] = ()


class Pod(View):
    """A pod as specified. Its status is not here: that is what podrun computes."""

    KIND: ClassVar[str] = "Pod"
    metadata: ObjectMeta
    spec: PodSpec

    @classmethod
    def of(cls, obj: Object) -> Pod:
        """The view of a Pod object as the store holds it; pydantic.ValidationError when it is not one."""
        return cls.model_validate(obj)

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)"""
        return self.metadata.namespace, self.metadata.name

    @property
    def uid(self) -> str:
        """metadata.uid"""
        return self.metadata.uid

    def __str__(self) -> str:
        """`name_namespace(uid)`, the way the kubelet's messages name a pod (pkg/kubelet/util/format)."""
        return f"{self.metadata.name}_{self.metadata.namespace}({self.metadata.uid})"

    def container(self, name: str) -> Container | None:
        """The container of that name, of whatever sort."""
        for group in (self.spec.containers, self.spec.init_containers, self.spec.ephemeral_containers):
            for container in group:
                if container.name == name:
                    return container
        return None
