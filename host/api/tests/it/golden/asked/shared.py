"""What several groups say."""

import base64

SECOND = 1_000_000_000


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


def least(name, *command, **more):
    template = {"ContainerSpec": {"Image": "busybox:1", "Args": list(command)}}
    return {"Name": name, "TaskTemplate": template, **more}


def runs(alpha, name):
    tasks = alpha.get("/tasks", service=[name])
    return tasks and all(task["Status"]["State"] == "running" for task in tasks)
