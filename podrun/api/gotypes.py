"""What the OpenAPI schema does not say of Kubernetes' Go types, which clients see all the same.

The API server decodes into Go structs and encodes them again. Which empty values that keeps, and what a type is called
in a decoder's sentence (`cannot unmarshal number into Go struct field Container.imagePullPolicy of type
v1.PullPolicy`), follows from the struct's field, not from the schema. `schema.py` guesses the field from the schema by
these rules:

- a scalar is a plain value, a list a slice, a map a map of its element's type;
- a reference is a pointer where the schema does not require the field, else a struct; `metadata` is a struct;
- the field is left out when empty (`omitempty`) unless the schema requires it; a plain time is always written.

The tables hold what is otherwise, read from `k8s.io/api` and `apimachinery` 1.36: `*` a pointer, `!` written even when
empty, `?` left out when empty though required; names of types are those of the same package.
"""

from __future__ import annotations

from functools import cache

FIELDS = """

[io.k8s.api.core.v1]
AppArmorProfile: localhostProfile *string, type AppArmorProfileType
AttachedVolume: name UniqueVolumeName
AzureDiskVolumeSource: cachingMode *AzureDataDiskCachingMode, fsType *string, kind *AzureDataDiskKind, readOnly *bool
AzureFilePersistentVolumeSource: secretNamespace *string!
CSIVolumeSource: fsType *string, readOnly *bool
Capabilities: add []Capability, drop []Capability
ClientIPConfig: timeoutSeconds *int32
ClusterTrustBundleProjection: name *string, optional *bool, signerName *string
ConfigMap: immutable *bool
ConfigMapEnvSource: optional *bool
ConfigMapKeySelector: optional *bool
ConfigMapNodeConfigSource: uid types.UID
ConfigMapProjection: optional *bool
ConfigMapVolumeSource: defaultMode *int32, optional *bool
Container: imagePullPolicy PullPolicy, resources ResourceRequirements, restartPolicy *ContainerRestartPolicy,
  terminationMessagePolicy TerminationMessagePolicy
ContainerImage: names !
ContainerPort: protocol Protocol
ContainerResizePolicy: resourceName ResourceName, restartPolicy ResourceResizeRestartPolicy
ContainerRestartRule: action ContainerRestartRuleAction?
ContainerRestartRuleOnExitCodes: operator ContainerRestartRuleOnExitCodesOperator?
ContainerStatus: allocatedResources ResourceList, lastState ContainerState, started *bool, state ContainerState,
  stopSignal *Signal
DownwardAPIVolumeFile: mode *int32
DownwardAPIVolumeSource: defaultMode *int32
EmptyDirVolumeSource: medium StorageMedium, sizeLimit *Quantity
EndpointAddress: nodeName *string
EndpointPort: appProtocol *string, protocol Protocol
EphemeralContainer: imagePullPolicy PullPolicy, resources ResourceRequirements, restartPolicy *ContainerRestartPolicy,
  terminationMessagePolicy TerminationMessagePolicy
Event: reportingComponent !, reportingInstance !, source EventSource
FCVolumeSource: lun *int32
FileKeySelector: optional *bool
GRPCAction: service *string!
GlusterfsPersistentVolumeSource: endpointsNamespace *string
HTTPGetAction: scheme URIScheme
HostPathVolumeSource: type *HostPathType
ISCSIPersistentVolumeSource: initiatorName *string
ISCSIVolumeSource: initiatorName *string
ImageVolumeSource: pullPolicy PullPolicy
ImageVolumeStatus: imageRef ?
KeyToPath: mode *int32
Lifecycle: stopSignal *Signal
LimitRange: spec LimitRangeSpec
LimitRangeItem: default ResourceList, defaultRequest ResourceList, max ResourceList, maxLimitRequestRatio
  ResourceList, min ResourceList, type LimitType
LoadBalancerIngress: ipMode *LoadBalancerIPMode
LocalVolumeSource: fsType *string
ModifyVolumeStatus: status PersistentVolumeClaimModifyVolumeStatus
Namespace: spec NamespaceSpec, status NamespaceStatus
NamespaceCondition: status ConditionStatus, type NamespaceConditionType
NamespaceSpec: finalizers []FinalizerName
NamespaceStatus: phase NamespacePhase
Node: spec NodeSpec, status NodeStatus
NodeAddress: type NodeAddressType
NodeAllocatableResourceClaimStatus: resources map[ResourceName]Quantity
NodeCondition: status ConditionStatus, type NodeConditionType
NodeDaemonEndpoints: kubeletEndpoint DaemonEndpoint
NodeFeatures: supplementalGroupsPolicy *bool
NodeRuntimeHandler: name !
NodeRuntimeHandlerFeatures: recursiveReadOnlyMounts *bool, userNamespaces *bool
NodeSelectorRequirement: operator NodeSelectorOperator
NodeStatus: allocatable ResourceList, capacity ResourceList, daemonEndpoints NodeDaemonEndpoints, nodeInfo
  NodeSystemInfo, phase NodePhase, volumesInUse []UniqueVolumeName
NodeSwapStatus: capacity *int64
ObjectReference: uid types.UID
PersistentVolume: spec PersistentVolumeSpec, status PersistentVolumeStatus
PersistentVolumeClaim: spec PersistentVolumeClaimSpec, status PersistentVolumeClaimStatus
PersistentVolumeClaimCondition: status ConditionStatus, type PersistentVolumeClaimConditionType
PersistentVolumeClaimSpec: accessModes []PersistentVolumeAccessMode, resources VolumeResourceRequirements,
  storageClassName *string, volumeAttributesClassName *string, volumeMode *PersistentVolumeMode
PersistentVolumeClaimStatus: accessModes []PersistentVolumeAccessMode, allocatedResourceStatuses
  map[ResourceName]ClaimResourceStatus, allocatedResources ResourceList, capacity ResourceList,
  currentVolumeAttributesClassName *string, phase PersistentVolumeClaimPhase
PersistentVolumeSpec: accessModes []PersistentVolumeAccessMode, capacity ResourceList, persistentVolumeReclaimPolicy
  PersistentVolumeReclaimPolicy, volumeAttributesClassName *string, volumeMode *PersistentVolumeMode
PersistentVolumeStatus: lastPhaseTransitionTime *Time, phase PersistentVolumePhase
Pod: spec PodSpec, status PodStatus
PodCertificateProjection: keyType ?, maxExpirationSeconds *int32, signerName ?
PodCondition: status ConditionStatus, type PodConditionType
PodDNSConfigOption: value *string
PodOS: name OSName
PodReadinessGate: conditionType PodConditionType
PodResourceClaim: resourceClaimName *string, resourceClaimTemplateName *string
PodResourceClaimStatus: resourceClaimName *string
PodSchedulingGroup: podGroupName *string
PodSecurityContext: fsGroup *int64, fsGroupChangePolicy *PodFSGroupChangePolicy, runAsGroup *int64, runAsNonRoot
  *bool, runAsUser *int64, seLinuxChangePolicy *PodSELinuxChangePolicy, supplementalGroupsPolicy
  *SupplementalGroupsPolicy
PodSpec: activeDeadlineSeconds *int64, automountServiceAccountToken *bool, dnsPolicy DNSPolicy, enableServiceLinks
  *bool, hostUsers *bool, hostnameOverride *string, overhead ResourceList, preemptionPolicy *PreemptionPolicy,
  priority *int32, restartPolicy RestartPolicy, runtimeClassName *string, setHostnameAsFQDN *bool,
  shareProcessNamespace *bool, terminationGracePeriodSeconds *int64
PodStatus: allocatedResources ResourceList, phase PodPhase, qosClass PodQOSClass, resize PodResizeStatus, startTime
  *Time
PodTemplate: template PodTemplateSpec
PodTemplateSpec: spec PodSpec
PortStatus: error *string, protocol Protocol
Probe: terminationGracePeriodSeconds *int64
ProjectedVolumeSource: defaultMode *int32, sources !
ResourceHealth: health ResourceHealthStatus, message *string, resourceID ResourceID
ResourceQuota: spec ResourceQuotaSpec, status ResourceQuotaStatus
ResourceQuotaSpec: hard ResourceList, scopes []ResourceQuotaScope
ResourceQuotaStatus: hard ResourceList, used ResourceList
ResourceRequirements: limits ResourceList, requests ResourceList
ResourceStatus: name ResourceName
ScaleIOPersistentVolumeSource: secretRef *SecretReference
ScaleIOVolumeSource: secretRef *LocalObjectReference
ScopedResourceSelectorRequirement: operator ScopeSelectorOperator, scopeName ResourceQuotaScope
SeccompProfile: localhostProfile *string, type SeccompProfileType
Secret: immutable *bool, type SecretType
SecretEnvSource: optional *bool
SecretKeySelector: optional *bool
SecretProjection: optional *bool
SecretVolumeSource: defaultMode *int32, optional *bool
SecurityContext: allowPrivilegeEscalation *bool, privileged *bool, procMount *ProcMountType, readOnlyRootFilesystem
  *bool, runAsGroup *int64, runAsNonRoot *bool, runAsUser *int64
Service: spec ServiceSpec, status ServiceStatus
ServiceAccount: automountServiceAccountToken *bool
ServiceAccountTokenProjection: expirationSeconds *int64
ServicePort: appProtocol *string, protocol Protocol
ServiceSpec: allocateLoadBalancerNodePorts *bool, externalTrafficPolicy ServiceExternalTrafficPolicy,
  internalTrafficPolicy *ServiceInternalTrafficPolicy, ipFamilies []IPFamily, ipFamilyPolicy *IPFamilyPolicy,
  loadBalancerClass *string, sessionAffinity ServiceAffinity, trafficDistribution *string, type ServiceType
ServiceStatus: loadBalancer LoadBalancerStatus
Taint: effect TaintEffect, timeAdded *Time
Toleration: effect TaintEffect, operator TolerationOperator, tolerationSeconds *int64
TopologySpreadConstraint: minDomains *int32, nodeAffinityPolicy *NodeInclusionPolicy, nodeTaintsPolicy
  *NodeInclusionPolicy, whenUnsatisfiable UnsatisfiableConstraintAction
TypedLocalObjectReference: apiGroup *string!
TypedObjectReference: apiGroup *string!, namespace *string
VolumeMount: mountPropagation *MountPropagationMode, recursiveReadOnly *RecursiveReadOnlyMode
VolumeMountStatus: recursiveReadOnly *RecursiveReadOnlyMode
VolumeResourceRequirements: limits ResourceList, requests ResourceList
WindowsSecurityContextOptions: gmsaCredentialSpec *string, gmsaCredentialSpecName *string, hostProcess *bool,
  runAsUserName *string

[io.k8s.apimachinery.pkg.apis.meta.v1]
APIGroup: preferredVersion GroupVersionForDiscovery
APIResource: verbs Verbs
Condition: status ConditionStatus
DeleteOptions: gracePeriodSeconds *int64, ignoreStoreReadErrorWithClusterBreakingPotential *bool, orphanDependents
  *bool, propagationPolicy *DeletionPropagation
FieldSelectorRequirement: operator FieldSelectorOperator
LabelSelectorRequirement: operator LabelSelectorOperator
ListMeta: remainingItemCount *int64
ManagedFieldsEntry: operation ManagedFieldsOperationType, time *Time
ObjectMeta: creationTimestamp ?, deletionGracePeriodSeconds *int64, deletionTimestamp *Time, uid types.UID
OwnerReference: blockOwnerDeletion *bool, controller *bool, uid types.UID
Preconditions: resourceVersion *string, uid *types.UID
Status: reason StatusReason
StatusCause: reason CauseType
StatusDetails: uid types.UID

[io.k8s.api.authentication.v1]
BoundObjectReference: uid types.UID
SelfSubjectReview: status SelfSubjectReviewStatus
SelfSubjectReviewStatus: userInfo UserInfo
TokenRequest: spec TokenRequestSpec, status TokenRequestStatus
TokenRequestSpec: audiences !, boundObjectRef !, expirationSeconds *int64!
TokenRequestStatus: token !
TokenReview: status TokenReviewStatus
TokenReviewSpec: token ?
TokenReviewStatus: user UserInfo
UserInfo: extra map[string]ExtraValue

[io.k8s.api.authorization.v1]
LocalSubjectAccessReview: status SubjectAccessReviewStatus
SelfSubjectAccessReview: status SubjectAccessReviewStatus
SelfSubjectRulesReview: status SubjectRulesReviewStatus
SubjectAccessReview: status SubjectAccessReviewStatus
SubjectAccessReviewSpec: extra map[string]ExtraValue

[io.k8s.api.coordination.v1]
Lease: spec LeaseSpec
LeaseSpec: acquireTime *MicroTime, holderIdentity *string, leaseDurationSeconds *int32, leaseTransitions *int32,
  preferredHolder *string, renewTime *MicroTime, strategy *CoordinatedLeaseStrategy

[io.k8s.api.discovery.v1]
Endpoint: conditions EndpointConditions, hostname *string, nodeName *string, zone *string
EndpointConditions: ready *bool, serving *bool, terminating *bool
EndpointPort: appProtocol *string, name *string, port *int32, protocol *Protocol
EndpointSlice: addressType AddressType, endpoints !, ports !

[io.k8s.api.events.v1]
Event: deprecatedSource EventSource, regarding ObjectReference, related *ObjectReference

[io.k8s.api.node.v1]
Overhead: podFixed ResourceList
Scheduling: tolerations []Toleration

[io.k8s.api.policy.v1]
PodDisruptionBudget: spec PodDisruptionBudgetSpec, status PodDisruptionBudgetStatus
PodDisruptionBudgetSpec: maxUnavailable *IntOrString, minAvailable *IntOrString, unhealthyPodEvictionPolicy
  *UnhealthyPodEvictionPolicyType
PodDisruptionBudgetStatus: currentHealthy !, desiredHealthy !, disruptionsAllowed !, expectedPods !

[io.k8s.api.rbac.v1]
ClusterRole: rules !
Role: rules !
RoleRef: apiGroup !

[io.k8s.api.scheduling.v1]
PriorityClass: preemptionPolicy *PreemptionPolicy, value !
"""

EMBEDDED = {
    "ConfigMapEnvSource": ("LocalObjectReference", ("optional",)),
    "ConfigMapKeySelector": ("LocalObjectReference", ("key", "optional")),
    "ConfigMapProjection": ("LocalObjectReference", ("items", "optional")),
    "ConfigMapVolumeSource": ("LocalObjectReference", ("items", "defaultMode", "optional")),
    "EphemeralContainer": ("EphemeralContainerCommon", ("targetContainerName",)),
    "Probe": (
        "ProbeHandler",
        (
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
            "terminationGracePeriodSeconds",
        ),
    ),
    "SecretEnvSource": ("LocalObjectReference", ("optional",)),
    "SecretKeySelector": ("LocalObjectReference", ("key", "optional")),
    "SecretProjection": ("LocalObjectReference", ("items", "optional")),
    "Volume": ("VolumeSource", ("name",)),
}
"""Structs that embed another: its name stands in the path of a decoder's sentence. The fields named are their own."""


@cache
def _sections() -> dict[str, dict[str, str]]:
    """The tables above: package of the definition -> type -> what is otherwise about its fields."""
    sections: dict[str, dict[str, str]] = {}
    kind = ""
    for line in FIELDS.strip().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line.startswith(" "):
            section[kind] += " " + line.strip()
        elif line:
            kind, _, rest = line.partition(": ")
            section[kind] = rest
    return sections


def exceptions(definition: str) -> dict[str, str]:
    """What is otherwise about the fields of `io.k8s.api.core.v1.Probe`: JSON name -> Go type and marks."""
    package, _, kind = definition.rpartition(".")
    listed = _sections().get(package, {}).get(kind, "")
    return dict(entry.split(" ", 1) for entry in listed.split(", ") if entry)
