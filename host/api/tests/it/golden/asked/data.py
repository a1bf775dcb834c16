"""Secrets, configs and networks."""

from engines import eventually, filters

from .shared import base64_of


def data(ask, kind):
    """Secrets or configs."""
    path = f"/v1.41/{kind}s"
    spec = {"Name": "words", "Labels": {"kind": "text"}, "Data": base64_of("open sesame")}
    ask("none yet", "GET", path)
    made = ask("made", "POST", f"{path}/create", spec)
    ask("made twice", "POST", f"{path}/create", spec)
    ask("a bad name", "POST", f"{path}/create", {**spec, "Name": "-no-"})
    ask("no name", "POST", f"{path}/create", {"Data": base64_of("x")})
    ask("no data", "POST", f"{path}/create", {"Name": "nothing"})
    ask("empty data", "POST", f"{path}/create", {"Name": "nothing", "Data": ""})
    ask("without a body", "POST", f"{path}/create")
    templated = {
        "Name": "page", "Data": base64_of("{{.Service.Name}}"), "Templating": {"Name": "golang"}
    }
    page = ask("a template", "POST", f"{path}/create", templated)
    ask("shown by id", "GET", f"{path}/{made['ID']}")
    ask("a template shown by name", "GET", f"{path}/page")
    ask("both", "GET", path)
    ask("by name", "GET", path, query=filters(name=["wor"]))
    ask("by label", "GET", path, query=filters(label=["kind=text"]))
    ask("by names", "GET", path, query=filters(names=["page"]))
    ask("an unknown filter", "GET", path, query=filters(colour=["red"]))
    ask("no such one", "GET", f"{path}/gone")
    shown = ask("as it is", "GET", f"{path}/words")
    index = shown["Version"]["Index"]
    update = f"{path}/{made['ID']}/update"
    relabelled = {**spec, "Labels": {"kind": "word", "more": ""}}
    ask("no version", "POST", update, relabelled)
    ask("an old version", "POST", f"{update}?version=1", relabelled)
    changed = {**spec, "Data": base64_of("close")}
    ask("data stay", "POST", f"{update}?version={index}", changed)
    ask("the name stays", "POST", f"{update}?version={index}", {**spec, "Name": "other"})
    ask("labels change", "POST", f"{update}?version={index}", relabelled)
    ask("changed", "GET", f"{path}/words")
    ask("no such one", "POST", f"{path}/gone/update?version=1", spec)
    ask("removed", "DELETE", f"{path}/{page['ID']}")
    ask("removed twice", "DELETE", f"{path}/{page['ID']}")
    return made["ID"]


def networks(ask, alpha):
    """Networks of the swarm."""
    path = "/v1.41/networks"
    swarm = filters(scope=["swarm"])
    eventually("the ingress network", lambda: alpha.get("/networks", scope=["swarm"]))
    ask("the ingress network", "GET", path, query=swarm)
    spec = {
        "Name": "back",
        "CheckDuplicate": True,
        "Driver": "overlay",
        "Attachable": True,
        "Internal": False,
        "EnableIPv6": False,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}],
        },
        "Options": {"com.docker.network.driver.mtu": "1400"},
        "Labels": {"tier": "back"},
    }
    made = ask("made", "POST", f"{path}/create", spec)
    ask("made twice", "POST", f"{path}/create", spec)
    ask("least of all", "POST", f"{path}/create", {"Name": "plain", "Driver": "overlay"})
    ask(
        "internal",
        "POST",
        f"{path}/create",
        {"Name": "inner", "Driver": "overlay", "Internal": True, "Labels": {}},
    )
    ask(
        "a second ingress",
        "POST",
        f"{path}/create",
        {"Name": "in", "Driver": "overlay", "Ingress": True},
    )
    ask(
        "a subnet that is none",
        "POST",
        f"{path}/create",
        {**spec, "Name": "bad", "IPAM": {"Config": [{"Subnet": "ten"}]}},
    )
    sealed = {"Name": "sealed", "Driver": "overlay", "Options": {"encrypted": ""}}
    ask("encrypted", "POST", f"{path}/create", sealed)
    alpha.call("DELETE", "/networks/sealed")
    ask("shown by id", "GET", f"{path}/{made['Id']}")
    ask("shown by name", "GET", f"{path}/plain")
    ask("shown in full", "GET", f"{path}/plain?verbose=true")
    ask("all of the swarm", "GET", path, query=swarm)
    ask("by name", "GET", path, query=filters(scope=["swarm"], name=["inn"]))
    ask("by label", "GET", path, query=filters(label=["tier=back"]))
    ask("by driver", "GET", path, query=filters(driver=["overlay"], name=["back"]))
    ask("an unknown filter", "GET", path, query=filters(colour=["red"]))
    ask("no such network", "GET", f"{path}/gone")
    ask("no such network", "DELETE", f"{path}/gone")
    ask("removed", "DELETE", f"{path}/inner")
    return made["Id"]
