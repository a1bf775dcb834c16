"""Services that are refused, and what is in use."""

from .shared import least


def refusals(ask, alpha):
    """Services that are refused."""
    path = "/v1.41/services/create"

    def container(**fields):
        spec = least("bad")
        spec["TaskTemplate"]["ContainerSpec"].update(fields)
        return spec

    def template(**fields):
        spec = least("bad")
        spec["TaskTemplate"].update(fields)
        return spec

    def ports(*given, mode="vip"):
        return least("bad", EndpointSpec={"Mode": mode, "Ports": list(given)})

    bind = {"Type": "bind", "Source": "/tmp", "Target": "/t"}
    secret = {
        "File": {"Name": "w", "UID": "0", "GID": "0", "Mode": 292},
        "SecretID": "0" * 25,
        "SecretName": "words",
    }
    for number, (what, spec) in enumerate([
        ("a name that is taken", least("web")),
        ("a bad name", least("no spaces")),
        ("a name too long", least("n" * 64)),
        ("nothing to run", {"Name": "bad"}),
        ("no image", {"Name": "bad", "TaskTemplate": {"ContainerSpec": {}}}),
        ("an image that is none", container(Image="Not An Image")),
        ("a port that is taken", ports({"TargetPort": 80, "PublishedPort": 8080})),
        (
            "a port that is taken on nodes",
            ports({"TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}),
        ),
        (
            "the same port twice",
            ports({"TargetPort": 80, "PublishedPort": 81}, {"TargetPort": 82, "PublishedPort": 81}),
        ),
        (
            "ingress without an address",
            ports({"TargetPort": 80, "PublishedPort": 81}, mode="dnsrr"),
        ),
        ("a bad mode of resolution", ports(mode="magic")),
        ("a bad mode of publishing", ports({"TargetPort": 80, "PublishMode": "magic"})),
        ("a bad protocol", ports({"TargetPort": 80, "Protocol": "ip"})),
        ("a bad condition", template(RestartPolicy={"Condition": "foo"})),
        ("a negative delay", template(RestartPolicy={"Condition": "any", "Delay": -1})),
        ("too little memory", template(Resources={"Limits": {"MemoryBytes": 1024}})),
        ("too little of a processor", template(Resources={"Limits": {"NanoCPUs": 1}})),
        ("a bad kind of mount", container(Mounts=[{"Type": "foo", "Target": "/t"}])),
        ("a mount without a target", container(Mounts=[{"Type": "bind", "Source": "/tmp"}])),
        ("two mounts in one place", container(Mounts=[bind, bind])),
        ("a template that is none", container(Hostname="{{.Nothing")),
        ("a template of nothing", container(Env=["A={{.Service.Colour}}"])),
        (
            "a bad action after a failed rollback",
            least("bad", RollbackConfig={"FailureAction": "rollback"}),
        ),
        ("a negative ratio", least("bad", UpdateConfig={"MaxFailureRatio": -1.0})),
        ("a negative monitor", least("bad", UpdateConfig={"Monitor": -1})),
        ("a bad order", least("bad", UpdateConfig={"Order": "sideways"})),
        (
            "a job with an update",
            least("bad", Mode={"ReplicatedJob": {}}, UpdateConfig={"Parallelism": 1}),
        ),
        (
            "a job with a rollback",
            least("bad", Mode={"GlobalJob": {}}, RollbackConfig={"Parallelism": 1}),
        ),
        ("a network that there is not", template(Networks=[{"Target": "gone"}])),
        ("a secret that there is not", container(Secrets=[secret])),
        (
            "a secret without a file",
            container(Secrets=[{"SecretID": "0" * 25, "SecretName": "words"}]),
        ),
        ("two modes", least("bad", Mode={"Replicated": {"Replicas": 1}, "Global": {}})),
        (
            "a health check too often",
            container(Healthcheck={"Test": ["CMD", "true"], "Interval": 10}),
        ),
        ("a plugin", {"Name": "bad", "TaskTemplate": {"Runtime": "plugin"}}),
        ("a runtime that there is not", template(Runtime="magic")),
    ]):
        if spec["Name"] == "bad":
            spec["Name"] = f"bad-{number}"
        made = ask(what, "POST", path, spec)
        # Docker takes some of them; what they do then is of no interest.
        alpha.call("DELETE", f"/services/{made.get('ID')}")
    ask(
        "a number that is text",
        "POST",
        path,
        least("bad", Mode={"Replicated": {"Replicas": "two"}}),
    )
    ask("without a body", "POST", path)
    for kind, name in [("secret", "words"), ("config", "words"), ("network", "back")]:
        ask(f"a {kind} in use stays", "DELETE", f"/v1.41/{kind}s/{name}")
