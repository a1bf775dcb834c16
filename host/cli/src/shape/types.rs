//! The types of Docker's client, API 1.50: `api/types/swarm`, `mount`, `network` and
//! `volume` of github.com/docker/docker.

use super::Shape::{
    self, Any, Bool, Bytes, Embedded, List, Map, Maybe, Mode, Moment, Number, Pointer, Span,
    Struct, Text,
};
use super::Type;

const TEXTS: Shape = List(&Text);
const LABELS: Shape = Map(&Text);
const COUNT: Shape = Maybe("*uint64", &Number);

const VERSION: Type = Type { pointer: "*swarm.Version", fields: &[("Index", Number)] };

const META: Type = Type {
    pointer: "*swarm.Meta",
    fields: &[("Version", Struct(&VERSION)), ("CreatedAt", Moment), ("UpdatedAt", Moment)],
};

const ANNOTATIONS: Type =
    Type { pointer: "*swarm.Annotations", fields: &[("Name", Text), ("Labels", LABELS)] };

const DRIVER: Type =
    Type { pointer: "*swarm.Driver", fields: &[("Name", Text), ("Options", LABELS)] };

// === nodes ===

/// `node inspect`
pub(crate) const NODE: Type = Type {
    pointer: "*swarm.Node",
    fields: &[
        ("ID", Text),
        ("Meta", Embedded(&META)),
        ("Spec", Struct(&NODE_SPEC)),
        ("Description", Struct(&NODE_DESCRIPTION)),
        ("Status", Struct(&NODE_STATUS)),
        ("ManagerStatus", Pointer(&MANAGER_STATUS)),
    ],
};

const NODE_SPEC: Type = Type {
    pointer: "*swarm.NodeSpec",
    fields: &[("Annotations", Embedded(&ANNOTATIONS)), ("Role", Text), ("Availability", Text)],
};

const NODE_DESCRIPTION: Type = Type {
    pointer: "*swarm.NodeDescription",
    fields: &[
        ("Hostname", Text),
        ("Platform", Struct(&PLATFORM)),
        ("Resources", Struct(&RESOURCES)),
        ("Engine", Struct(&ENGINE)),
        ("TLSInfo", Struct(&TLS_INFO)),
        ("CSIInfo", List(&Any)),
    ],
};

const PLATFORM: Type =
    Type { pointer: "*swarm.Platform", fields: &[("Architecture", Text), ("OS", Text)] };

const RESOURCES: Type = Type {
    pointer: "*swarm.Resources",
    fields: &[("NanoCPUs", Number), ("MemoryBytes", Number), ("GenericResources", List(&Any))],
};

const ENGINE: Type = Type {
    pointer: "*swarm.EngineDescription",
    fields: &[("EngineVersion", Text), ("Labels", LABELS), ("Plugins", List(&Struct(&PLUGIN)))],
};

const PLUGIN: Type =
    Type { pointer: "*swarm.PluginDescription", fields: &[("Type", Text), ("Name", Text)] };

const TLS_INFO: Type = Type {
    pointer: "*swarm.TLSInfo",
    fields: &[("TrustRoot", Text), ("CertIssuerSubject", Bytes), ("CertIssuerPublicKey", Bytes)],
};

const NODE_STATUS: Type = Type {
    pointer: "*swarm.NodeStatus",
    fields: &[("State", Text), ("Message", Text), ("Addr", Text)],
};

const MANAGER_STATUS: Type = Type {
    pointer: "*swarm.ManagerStatus",
    fields: &[("Leader", Bool), ("Reachability", Text), ("Addr", Text)],
};

// === services ===

/// `service inspect`
pub(crate) const SERVICE: Type = Type {
    pointer: "*swarm.Service",
    fields: &[
        ("ID", Text),
        ("Meta", Embedded(&META)),
        ("Spec", Struct(&SERVICE_SPEC)),
        ("PreviousSpec", Pointer(&SERVICE_SPEC)),
        ("Endpoint", Struct(&ENDPOINT)),
        ("UpdateStatus", Pointer(&UPDATE_STATUS)),
        ("ServiceStatus", Pointer(&SERVICE_STATUS)),
        ("JobStatus", Pointer(&JOB_STATUS)),
    ],
};

const SERVICE_SPEC: Type = Type {
    pointer: "*swarm.ServiceSpec",
    fields: &[
        ("Annotations", Embedded(&ANNOTATIONS)),
        ("TaskTemplate", Struct(&TASK_SPEC)),
        ("Mode", Struct(&SERVICE_MODE)),
        ("UpdateConfig", Pointer(&UPDATE_CONFIG)),
        ("RollbackConfig", Pointer(&UPDATE_CONFIG)),
        ("Networks", List(&Struct(&ATTACHMENT))),
        ("EndpointSpec", Pointer(&ENDPOINT_SPEC)),
    ],
};

const SERVICE_MODE: Type = Type {
    pointer: "*swarm.ServiceMode",
    fields: &[
        ("Replicated", Pointer(&REPLICATED)),
        ("Global", Pointer(&GLOBAL)),
        ("ReplicatedJob", Pointer(&REPLICATED_JOB)),
        ("GlobalJob", Pointer(&GLOBAL_JOB)),
    ],
};

const REPLICATED: Type =
    Type { pointer: "*swarm.ReplicatedService", fields: &[("Replicas", COUNT)] };
const GLOBAL: Type = Type { pointer: "*swarm.GlobalService", fields: &[] };
const REPLICATED_JOB: Type = Type {
    pointer: "*swarm.ReplicatedJob",
    fields: &[("MaxConcurrent", COUNT), ("TotalCompletions", COUNT)],
};
const GLOBAL_JOB: Type = Type { pointer: "*swarm.GlobalJob", fields: &[] };

const UPDATE_CONFIG: Type = Type {
    pointer: "*swarm.UpdateConfig",
    fields: &[
        ("Parallelism", Number),
        ("Delay", Span),
        ("FailureAction", Text),
        ("Monitor", Span),
        ("MaxFailureRatio", Number),
        ("Order", Text),
    ],
};

const UPDATE_STATUS: Type = Type {
    pointer: "*swarm.UpdateStatus",
    fields: &[
        ("State", Text),
        ("StartedAt", Maybe("*time.Time", &Moment)),
        ("CompletedAt", Maybe("*time.Time", &Moment)),
        ("Message", Text),
    ],
};

const SERVICE_STATUS: Type = Type {
    pointer: "*swarm.ServiceStatus",
    fields: &[("RunningTasks", Number), ("DesiredTasks", Number), ("CompletedTasks", Number)],
};

const JOB_STATUS: Type = Type {
    pointer: "*swarm.JobStatus",
    fields: &[("JobIteration", Struct(&VERSION)), ("LastExecution", Moment)],
};

const ENDPOINT: Type = Type {
    pointer: "*swarm.Endpoint",
    fields: &[
        ("Spec", Struct(&ENDPOINT_SPEC)),
        ("Ports", List(&Struct(&PORT))),
        ("VirtualIPs", List(&Struct(&VIRTUAL_IP))),
    ],
};

const ENDPOINT_SPEC: Type = Type {
    pointer: "*swarm.EndpointSpec",
    fields: &[("Mode", Text), ("Ports", List(&Struct(&PORT)))],
};

const PORT: Type = Type {
    pointer: "*swarm.PortConfig",
    fields: &[
        ("Name", Text),
        ("Protocol", Text),
        ("TargetPort", Number),
        ("PublishedPort", Number),
        ("PublishMode", Text),
    ],
};

const VIRTUAL_IP: Type =
    Type { pointer: "*swarm.EndpointVirtualIP", fields: &[("NetworkID", Text), ("Addr", Text)] };

const ATTACHMENT: Type = Type {
    pointer: "*swarm.NetworkAttachmentConfig",
    fields: &[("Target", Text), ("Aliases", TEXTS), ("DriverOpts", LABELS)],
};

// === what tasks run ===

const TASK_SPEC: Type = Type {
    pointer: "*swarm.TaskSpec",
    fields: &[
        ("ContainerSpec", Pointer(&CONTAINER_SPEC)),
        ("PluginSpec", Maybe("*runtime.PluginSpec", &Any)),
        ("NetworkAttachmentSpec", Maybe("*swarm.NetworkAttachmentSpec", &Any)),
        ("Resources", Pointer(&REQUIREMENTS)),
        ("RestartPolicy", Pointer(&RESTART_POLICY)),
        ("Placement", Pointer(&PLACEMENT)),
        ("Networks", List(&Struct(&ATTACHMENT))),
        ("LogDriver", Pointer(&DRIVER)),
        ("ForceUpdate", Number),
        ("Runtime", Text),
    ],
};

const CONTAINER_SPEC: Type = Type {
    pointer: "*swarm.ContainerSpec",
    fields: &[
        ("Image", Text),
        ("Labels", LABELS),
        ("Command", TEXTS),
        ("Args", TEXTS),
        ("Hostname", Text),
        ("Env", TEXTS),
        ("Dir", Text),
        ("User", Text),
        ("Groups", TEXTS),
        ("Privileges", Maybe("*swarm.Privileges", &Any)),
        ("Init", Maybe("*bool", &Bool)),
        ("StopSignal", Text),
        ("TTY", Bool),
        ("OpenStdin", Bool),
        ("ReadOnly", Bool),
        ("Mounts", List(&Struct(&MOUNT))),
        ("StopGracePeriod", Maybe("*time.Duration", &Span)),
        ("Healthcheck", Pointer(&HEALTH)),
        ("Hosts", TEXTS),
        ("DNSConfig", Pointer(&DNS)),
        ("Secrets", List(&Pointer(&SECRET_REFERENCE))),
        ("Configs", List(&Pointer(&CONFIG_REFERENCE))),
        ("Isolation", Text),
        ("Sysctls", LABELS),
        ("CapabilityAdd", TEXTS),
        ("CapabilityDrop", TEXTS),
        ("Ulimits", List(&Pointer(&ULIMIT))),
        ("OomScoreAdj", Number),
    ],
};

const MOUNT: Type = Type {
    pointer: "*mount.Mount",
    fields: &[
        ("Type", Text),
        ("Source", Text),
        ("Target", Text),
        ("ReadOnly", Bool),
        ("Consistency", Text),
        ("BindOptions", Pointer(&BIND_OPTIONS)),
        ("VolumeOptions", Pointer(&VOLUME_OPTIONS)),
        ("ImageOptions", Maybe("*mount.ImageOptions", &Any)),
        ("TmpfsOptions", Pointer(&TMPFS_OPTIONS)),
        ("ClusterOptions", Maybe("*mount.ClusterOptions", &Any)),
    ],
};

const BIND_OPTIONS: Type = Type {
    pointer: "*mount.BindOptions",
    fields: &[
        ("Propagation", Text),
        ("NonRecursive", Bool),
        ("CreateMountpoint", Bool),
        ("ReadOnlyNonRecursive", Bool),
        ("ReadOnlyForceRecursive", Bool),
    ],
};

const VOLUME_OPTIONS: Type = Type {
    pointer: "*mount.VolumeOptions",
    fields: &[
        ("NoCopy", Bool),
        ("Labels", LABELS),
        ("Subpath", Text),
        ("DriverConfig", Pointer(&MOUNT_DRIVER)),
    ],
};

const MOUNT_DRIVER: Type =
    Type { pointer: "*mount.Driver", fields: &[("Name", Text), ("Options", LABELS)] };

const TMPFS_OPTIONS: Type = Type {
    pointer: "*mount.TmpfsOptions",
    fields: &[("SizeBytes", Number), ("Mode", Mode), ("Options", List(&Any))],
};

const HEALTH: Type = Type {
    pointer: "*v1.HealthcheckConfig",
    fields: &[
        ("Test", TEXTS),
        ("Interval", Span),
        ("Timeout", Span),
        ("StartPeriod", Span),
        ("StartInterval", Span),
        ("Retries", Number),
    ],
};

const DNS: Type = Type {
    pointer: "*swarm.DNSConfig",
    fields: &[("Nameservers", TEXTS), ("Search", TEXTS), ("Options", TEXTS)],
};

const SECRET_REFERENCE: Type = Type {
    pointer: "*swarm.SecretReference",
    fields: &[("File", Pointer(&SECRET_FILE)), ("SecretID", Text), ("SecretName", Text)],
};

const SECRET_FILE: Type = Type {
    pointer: "*swarm.SecretReferenceFileTarget",
    fields: &[("Name", Text), ("UID", Text), ("GID", Text), ("Mode", Mode)],
};

const CONFIG_REFERENCE: Type = Type {
    pointer: "*swarm.ConfigReference",
    fields: &[
        ("File", Pointer(&CONFIG_FILE)),
        ("Runtime", Maybe("*swarm.ConfigReferenceRuntimeTarget", &Any)),
        ("ConfigID", Text),
        ("ConfigName", Text),
    ],
};

const CONFIG_FILE: Type = Type {
    pointer: "*swarm.ConfigReferenceFileTarget",
    fields: &[("Name", Text), ("UID", Text), ("GID", Text), ("Mode", Mode)],
};

const ULIMIT: Type = Type {
    pointer: "*units.Ulimit",
    fields: &[("Name", Text), ("Hard", Number), ("Soft", Number)],
};

const REQUIREMENTS: Type = Type {
    pointer: "*swarm.ResourceRequirements",
    fields: &[("Limits", Pointer(&LIMIT)), ("Reservations", Pointer(&RESOURCES))],
};

const LIMIT: Type = Type {
    pointer: "*swarm.Limit",
    fields: &[("NanoCPUs", Number), ("MemoryBytes", Number), ("Pids", Number)],
};

const RESTART_POLICY: Type = Type {
    pointer: "*swarm.RestartPolicy",
    fields: &[
        ("Condition", Text),
        ("Delay", Maybe("*time.Duration", &Span)),
        ("MaxAttempts", COUNT),
        ("Window", Maybe("*time.Duration", &Span)),
    ],
};

const PLACEMENT: Type = Type {
    pointer: "*swarm.Placement",
    fields: &[
        ("Constraints", TEXTS),
        ("Preferences", List(&Struct(&PREFERENCE))),
        ("MaxReplicas", Number),
        ("Platforms", List(&Struct(&PLATFORM))),
    ],
};

const PREFERENCE: Type =
    Type { pointer: "*swarm.PlacementPreference", fields: &[("Spread", Pointer(&SPREAD))] };

const SPREAD: Type = Type { pointer: "*swarm.SpreadOver", fields: &[("SpreadDescriptor", Text)] };

// === data, networks, volumes ===

/// `secret inspect`
pub(crate) const SECRET: Type = Type {
    pointer: "*swarm.Secret",
    fields: &[("ID", Text), ("Meta", Embedded(&META)), ("Spec", Struct(&SECRET_SPEC))],
};

const SECRET_SPEC: Type = Type {
    pointer: "*swarm.SecretSpec",
    fields: &[
        ("Annotations", Embedded(&ANNOTATIONS)),
        ("Data", Bytes),
        ("Driver", Pointer(&DRIVER)),
        ("Templating", Pointer(&DRIVER)),
    ],
};

/// `config inspect`
pub(crate) const CONFIG: Type = Type {
    pointer: "*swarm.Config",
    fields: &[("ID", Text), ("Meta", Embedded(&META)), ("Spec", Struct(&CONFIG_SPEC))],
};

const CONFIG_SPEC: Type = Type {
    pointer: "*swarm.ConfigSpec",
    fields: &[
        ("Annotations", Embedded(&ANNOTATIONS)),
        ("Data", Bytes),
        ("Templating", Pointer(&DRIVER)),
    ],
};

/// `network inspect`
pub(crate) const NETWORK: Type = Type {
    pointer: "*network.Inspect",
    fields: &[
        ("Name", Text),
        ("ID", Text),
        ("Created", Moment),
        ("Scope", Text),
        ("Driver", Text),
        ("EnableIPv4", Bool),
        ("EnableIPv6", Bool),
        ("IPAM", Struct(&IPAM)),
        ("Internal", Bool),
        ("Attachable", Bool),
        ("Ingress", Bool),
        ("ConfigFrom", Struct(&CONFIG_FROM)),
        ("ConfigOnly", Bool),
        ("Containers", Map(&Any)),
        ("Options", LABELS),
        ("Labels", LABELS),
        ("Peers", List(&Any)),
        ("Services", Map(&Any)),
    ],
};

const IPAM: Type = Type {
    pointer: "*network.IPAM",
    fields: &[("Driver", Text), ("Options", LABELS), ("Config", List(&Struct(&IPAM_CONFIG)))],
};

const IPAM_CONFIG: Type = Type {
    pointer: "*network.IPAMConfig",
    fields: &[
        ("Subnet", Text),
        ("IPRange", Text),
        ("Gateway", Text),
        ("AuxiliaryAddresses", LABELS),
    ],
};

const CONFIG_FROM: Type =
    Type { pointer: "*network.ConfigReference", fields: &[("Network", Text)] };

/// `volume inspect`
pub(crate) const VOLUME: Type = Type {
    pointer: "*volume.Volume",
    fields: &[
        ("ClusterVolume", Maybe("*volume.ClusterVolume", &Any)),
        ("CreatedAt", Text),
        ("Driver", Text),
        ("Labels", LABELS),
        ("Mountpoint", Text),
        ("Name", Text),
        ("Options", LABELS),
        ("Scope", Text),
        ("Status", Map(&Any)),
        ("UsageData", Maybe("*volume.UsageData", &Any)),
    ],
};

// === events ===

/// `events`
pub(crate) const EVENT: Type = Type {
    pointer: "*events.Message",
    fields: &[
        ("Status", Text),
        ("ID", Text),
        ("From", Text),
        ("Type", Text),
        ("Action", Text),
        ("Actor", Struct(&ACTOR)),
        ("Scope", Text),
        ("Time", Number),
        ("TimeNano", Number),
    ],
};

const ACTOR: Type =
    Type { pointer: "*events.Actor", fields: &[("ID", Text), ("Attributes", LABELS)] };

// === the daemon ===

/// `info`
pub(crate) const INFO: Type = Type {
    pointer: "*system.dockerInfo",
    fields: &[
        ("ID", Text),
        ("Containers", Number),
        ("ContainersRunning", Number),
        ("ContainersPaused", Number),
        ("ContainersStopped", Number),
        ("Images", Number),
        ("Driver", Text),
        ("OperatingSystem", Text),
        ("OSType", Text),
        ("Architecture", Text),
        ("KernelVersion", Text),
        ("NCPU", Number),
        ("MemTotal", Number),
        ("GenericResources", List(&Any)),
        ("Name", Text),
        ("Labels", TEXTS),
        ("ServerVersion", Text),
        ("Swarm", Struct(&SWARM_INFO)),
        ("Warnings", TEXTS),
        ("ClientInfo", Struct(&CLIENT_INFO)),
    ],
};

const CLIENT_INFO: Type = Type { pointer: "*system.clientInfo", fields: &[("Version", Text)] };

const SWARM_INFO: Type = Type {
    pointer: "*swarm.Info",
    fields: &[
        ("NodeID", Text),
        ("NodeAddr", Text),
        ("LocalNodeState", Text),
        ("ControlAvailable", Bool),
        ("Error", Text),
        ("RemoteManagers", List(&Struct(&PEER))),
        ("Nodes", Number),
        ("Managers", Number),
        ("Cluster", Pointer(&CLUSTER)),
        ("Warnings", TEXTS),
    ],
};

const PEER: Type = Type { pointer: "*swarm.Peer", fields: &[("NodeID", Text), ("Addr", Text)] };

const CLUSTER: Type = Type {
    pointer: "*swarm.ClusterInfo",
    fields: &[
        ("ID", Text),
        ("Meta", Embedded(&META)),
        ("Spec", Struct(&CLUSTER_SPEC)),
        ("TLSInfo", Struct(&TLS_INFO)),
        ("RootRotationInProgress", Bool),
        ("DefaultAddrPool", TEXTS),
        ("SubnetSize", Number),
        ("DataPathPort", Number),
    ],
};

const CLUSTER_SPEC: Type = Type {
    pointer: "*swarm.Spec",
    fields: &[
        ("Annotations", Embedded(&ANNOTATIONS)),
        ("Orchestration", Struct(&ORCHESTRATION)),
        ("Raft", Struct(&RAFT)),
        ("Dispatcher", Struct(&DISPATCHER)),
        ("CAConfig", Struct(&CA_CONFIG)),
        ("TaskDefaults", Struct(&TASK_DEFAULTS)),
        ("EncryptionConfig", Struct(&ENCRYPTION)),
    ],
};

const ORCHESTRATION: Type = Type {
    pointer: "*swarm.OrchestrationConfig",
    fields: &[("TaskHistoryRetentionLimit", Maybe("*int64", &Number))],
};

const RAFT: Type = Type {
    pointer: "*swarm.RaftConfig",
    fields: &[
        ("SnapshotInterval", Number),
        ("KeepOldSnapshots", COUNT),
        ("LogEntriesForSlowFollowers", Number),
        ("ElectionTick", Number),
        ("HeartbeatTick", Number),
    ],
};

const DISPATCHER: Type =
    Type { pointer: "*swarm.DispatcherConfig", fields: &[("HeartbeatPeriod", Span)] };

const CA_CONFIG: Type = Type {
    pointer: "*swarm.CAConfig",
    fields: &[
        ("NodeCertExpiry", Span),
        ("ExternalCAs", List(&Any)),
        ("SigningCACert", Text),
        ("SigningCAKey", Text),
        ("ForceRotate", Number),
    ],
};

const TASK_DEFAULTS: Type =
    Type { pointer: "*swarm.TaskDefaults", fields: &[("LogDriver", Pointer(&DRIVER))] };

const ENCRYPTION: Type =
    Type { pointer: "*swarm.EncryptionConfig", fields: &[("AutoLockManagers", Bool)] };

/// `version`
pub(crate) const VERSION_INFO: Type = Type {
    pointer: "*system.versionInfo",
    fields: &[("Client", Struct(&CLIENT_VERSION)), ("Server", Pointer(&SERVER_VERSION))],
};

const CLIENT_VERSION: Type = Type {
    pointer: "*system.clientVersion",
    fields: &[
        ("Version", Text),
        ("APIVersion", Text),
        ("DefaultAPIVersion", Text),
        ("Os", Text),
        ("Arch", Text),
    ],
};

const SERVER_VERSION: Type = Type {
    pointer: "*types.Version",
    fields: &[
        ("Platform", Struct(&PLATFORM_NAME)),
        ("Components", List(&Struct(&COMPONENT))),
        ("Version", Text),
        ("APIVersion", Text),
        ("MinAPIVersion", Text),
        ("GitCommit", Text),
        ("GoVersion", Text),
        ("Os", Text),
        ("Arch", Text),
        ("KernelVersion", Text),
        ("Experimental", Bool),
        ("BuildTime", Text),
    ],
};

const PLATFORM_NAME: Type = Type { pointer: "*types.Platform", fields: &[("Name", Text)] };

const COMPONENT: Type = Type {
    pointer: "*types.ComponentVersion",
    fields: &[("Name", Text), ("Version", Text), ("Details", LABELS)],
};
