"""Services."""

from engines import eventually, filters

from .shared import SECOND, least, runs


def services(ask, alpha, network, secret, config):
    """Services: made, shown, listed, changed, taken back, removed."""
    path = "/v1.41/services"
    ask("none yet", "GET", path)
    lavish = rich(network, secret, config)
    made = ask("one of everything", "POST", f"{path}/create", lavish)
    eventually(
        "its addresses", lambda: alpha.get(f"/services/{made['ID']}")["Endpoint"].get("VirtualIPs")
    )
    ask("one of everything, shown", "GET", f"{path}/{made['ID']}")
    ask("one of everything, with defaults", "GET", f"{path}/rich?insertDefaults=true")
    web = ask("least of all", "POST", f"{path}/create", least("web", "sleep", "1000"))
    ask(
        "a global one",
        "POST",
        f"{path}/create",
        least("every", "sleep", "1000", Mode={"Global": {}}),
    )
    for name in ["web", "every"]:
        eventually(f"{name} runs", lambda: runs(alpha, name))
    shown = ask("least of all, shown", "GET", f"{path}/web")
    ask("least of all, with defaults", "GET", f"{path}/web?insertDefaults=true")
    ask("a global one, shown", "GET", f"{path}/every")
    ask("a global one, with defaults", "GET", f"{path}/every?insertDefaults=true")
    ask("all", "GET", path)
    ask("their tasks", "GET", "/v1.41/tasks")
    ask("all, with how they stand", "GET", f"{path}?status=true")
    labelled = {"label": ["of=the service"]}
    for wanted in [{"name": ["ri"]}, {"mode": ["global"]}, labelled, {"id": [web["ID"]]}]:
        ask("by " + ", ".join(wanted), "GET", path, query=filters(**wanted))
    ask("an unknown filter", "GET", path, query=filters(colour=["red"]))
    ask("no such service", "GET", f"{path}/gone")
    ask("no such service", "DELETE", f"{path}/gone")
    ask("no such service", "POST", f"{path}/gone/update?version=1", least("gone"))

    update = f"{path}/{web['ID']}/update"
    index = shown["Version"]["Index"]
    more = least("web", "sleep", "1000", Labels={"tier": "front"})
    ask("no version", "POST", update, more)
    ask("a version that is none", "POST", f"{update}?version=x", more)
    ask("an old version", "POST", f"{update}?version=1", more)
    ask("names stay", "POST", f"{update}?version={index}", least("other"))
    ask("modes stay", "POST", f"{update}?version={index}", least("web", Mode={"Global": {}}))
    ask("nothing to go back to", "POST", f"{update}?version={index}&rollback=previous", more)
    ask("a bad way back", "POST", f"{update}?version={index}&rollback=there", more)
    ask("a label comes", "POST", f"{update}?version={index}", more)
    ask("an index counts once", "POST", f"{update}?version={index}", more)
    shown = ask("with what it was before", "GET", f"{path}/web")
    index = shown["Version"]["Index"]
    ask("and back", "POST", f"{update}?version={index}&rollback=previous", more)
    state = lambda: (alpha.get("/services/web").get("UpdateStatus") or {}).get("State")
    eventually("it is back", lambda: state() == "rollback_completed")
    ask("back, and forth if one likes", "GET", f"{path}/web")
    ask("removed", "DELETE", f"{path}/every")
    eventually("its tasks go", lambda: not [t for t in alpha.get("/tasks") if not t["ServiceID"]])
    ask("removed twice", "DELETE", f"{path}/every")


def rich(network, secret, config):
    """A service with every field of API 1.41 that one may have beside the others."""
    options = {"o": "size=1m", "type": "tmpfs", "device": "tmpfs"}
    tmpfs = {"Name": "local", "Options": options}
    container = {
        "Image": "busybox:1",
        "Labels": {"of": "the container"},
        "Command": ["sh", "-c"],
        "Args": ["sleep 1000"],
        "Hostname": "h-{{.Task.Slot}}",
        "Env": ["NAME={{.Service.Name}}", "EMPTY="],
        "Dir": "/tmp",
        "User": "1000:1000",
        "Groups": ["1001", "1002"],
        "Privileges": {
            "CredentialSpec": None,
            "SELinuxContext": {
                "Disable": False, "User": "u", "Role": "r", "Type": "t", "Level": "l"
            },
        },
        "TTY": True,
        "OpenStdin": True,
        "ReadOnly": True,
        "Mounts": [
            {
                "Type": "bind",
                "Source": "/tmp",
                "Target": "/host",
                "ReadOnly": True,
                "Consistency": "default",
                "BindOptions": {"Propagation": "rslave", "NonRecursive": True},
            },
            {
                "Type": "volume",
                "Source": "data",
                "Target": "/data",
                "VolumeOptions": {"NoCopy": True, "Labels": {"l": "v"}, "DriverConfig": tmpfs},
            },
            {
                "Type": "tmpfs",
                "Target": "/scratch",
                "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 448},
            },
        ],
        "StopSignal": "SIGINT",
        "StopGracePeriod": 3 * SECOND,
        "Healthcheck": {
            "Test": ["CMD-SHELL", "true"],
            "Interval": 5 * SECOND,
            "Timeout": 2 * SECOND,
            "StartPeriod": SECOND,
            "Retries": 4,
        },
        "Hosts": ["10.9.8.7 elsewhere"],
        "DNSConfig": {
            "Nameservers": ["10.9.8.6"], "Search": ["example.org"], "Options": ["timeout:3"]
        },
        "Secrets": [
            {
                "File": {"Name": "word", "UID": "1000", "GID": "1000", "Mode": 256},
                "SecretID": secret,
                "SecretName": "words",
            }
        ],
        "Configs": [
            {
                "File": {"Name": "/etc/word", "UID": "0", "GID": "0", "Mode": 292},
                "ConfigID": config,
                "ConfigName": "words",
            }
        ],
        "Isolation": "default",
        "Init": True,
        "Sysctls": {"net.ipv4.ip_default_ttl": "60"},
        "CapabilityAdd": ["CAP_NET_RAW"],
        "CapabilityDrop": ["CAP_CHOWN"],
        "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
    }
    policy = {
        "Parallelism": 2,
        "Delay": 3 * SECOND,
        "FailureAction": "continue",
        "Monitor": 7 * SECOND,
        "MaxFailureRatio": 0.25,
        "Order": "start-first",
    }
    return {
        "Name": "rich",
        "Labels": {"of": "the service", "empty": ""},
        "TaskTemplate": {
            "ContainerSpec": container,
            "Resources": {
                "Limits": {"NanoCPUs": 500000000, "MemoryBytes": 67108864, "Pids": 50},
                "Reservations": {
                    "NanoCPUs": 100000000,
                    "MemoryBytes": 16777216,
                    "GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}],
                },
            },
            "RestartPolicy": {
                "Condition": "on-failure",
                "Delay": 2 * SECOND,
                "MaxAttempts": 3,
                "Window": 60 * SECOND,
            },
            "Placement": {
                "Constraints": ["node.role==manager", "node.labels.rack!=9"],
                "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.rack"}}],
                "MaxReplicas": 2,
                "Platforms": [{"Architecture": "amd64", "OS": "linux"}, {"OS": "linux"}],
            },
            "Networks": [{"Target": network, "Aliases": ["lavish"]}],
            "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
            "ForceUpdate": 3,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 0}},
        "UpdateConfig": policy,
        "RollbackConfig": {**policy, "FailureAction": "pause", "Parallelism": 0},
        "EndpointSpec": {
            "Mode": "vip",
            "Ports": [
                {
                    "Name": "web",
                    "Protocol": "tcp",
                    "TargetPort": 80,
                    "PublishedPort": 8080,
                    "PublishMode": "ingress",
                },
                {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 5353, "PublishMode": "host"},
            ],
        },
    }
