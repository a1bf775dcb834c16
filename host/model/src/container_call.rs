//! What of the engine's API reaches a task's container on another node.

/// A request about a container, by the engine's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerCall {
    /// How it is.
    Inspect,
    /// What it printed.
    Logs,
    /// A command in it, not started yet.
    Exec,
    /// Its standard streams.
    Attach,
    /// The same, as a websocket.
    AttachWebsocket,
    /// The size of its terminal.
    Resize,
    /// Its processes.
    Top,
    /// What it uses.
    Stats,
    /// Files out of it, into it, or what there is of one.
    Archive,
    /// Its end.
    Wait,
    /// A signal to its process: `docker attach` passes its own on.
    Kill,
}

/// A request about a command that was made by [`ContainerCall::Exec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecCall {
    /// Starts it; its streams come by the same connection.
    Start,
    /// The size of its terminal.
    Resize,
    /// How it is, and its exit code.
    Inspect,
}

/// Each with its methods, and what follows the container in its path.
const OF_CONTAINERS: [(ContainerCall, &[&str], &str); 11] = [
    (ContainerCall::Inspect, &["GET", "HEAD"], "json"),
    (ContainerCall::Logs, &["GET"], "logs"),
    (ContainerCall::Exec, &["POST"], "exec"),
    (ContainerCall::Attach, &["POST"], "attach"),
    (ContainerCall::AttachWebsocket, &["GET"], "attach/ws"),
    (ContainerCall::Resize, &["POST"], "resize"),
    (ContainerCall::Top, &["GET"], "top"),
    (ContainerCall::Stats, &["GET"], "stats"),
    (ContainerCall::Archive, &["GET", "HEAD", "PUT"], "archive"),
    (ContainerCall::Wait, &["POST"], "wait"),
    (ContainerCall::Kill, &["POST"], "kill"),
];

/// The same for commands in containers.
const OF_EXECS: [(ExecCall, &str, &str); 3] = [
    (ExecCall::Start, "POST", "start"),
    (ExecCall::Resize, "POST", "resize"),
    (ExecCall::Inspect, "GET", "json"),
];

// === impl ContainerCall ===

impl ContainerCall {
    /// By its method and what follows the container in its path: `exec` of
    /// `/containers/web/exec`. `None`: it is not for other nodes.
    pub fn of(method: &str, end: &str) -> Option<Self> {
        let mut known = OF_CONTAINERS.iter();
        let found = known.find(|(_, methods, known)| methods.contains(&method) && *known == end);
        found.map(|(call, ..)| *call)
    }

    /// What follows the container in its path.
    pub fn end(self) -> &'static str {
        let mut known = OF_CONTAINERS.iter();
        known.find(|(call, ..)| *call == self).map_or("", |(.., end)| end)
    }

    /// Whether there must be a process in the container for it.
    pub fn needs_process(self) -> bool {
        !matches!(self, Self::Inspect | Self::Logs | Self::Archive | Self::Wait)
    }
}

// === impl ExecCall ===

impl ExecCall {
    /// By its method and what follows the command's id in its path.
    pub fn of(method: &str, end: &str) -> Option<Self> {
        let mut known = OF_EXECS.iter();
        let found = known.find(|(_, known, known_end)| *known == method && *known_end == end);
        found.map(|(call, ..)| *call)
    }

    /// What follows the command's id in its path.
    pub fn end(self) -> &'static str {
        let mut known = OF_EXECS.iter();
        known.find(|(call, ..)| *call == self).map_or("", |(.., end)| end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_read_from_its_path_and_written_back() {
        for (call, methods, end) in OF_CONTAINERS {
            for method in methods {
                assert_eq!(ContainerCall::of(method, end), Some(call), "{method} {end}");
            }
            assert_eq!(call.end(), end);
        }
        for (call, method, end) in OF_EXECS {
            assert_eq!(ExecCall::of(method, end), Some(call), "{method} {end}");
            assert_eq!(call.end(), end);
        }
    }

    #[test]
    fn what_would_work_against_the_orchestrator_is_not_for_other_nodes() {
        for end in ["start", "stop", "restart", "pause", "rename", "update", ""] {
            assert_eq!(ContainerCall::of("POST", end), None, "{end}");
        }
        assert_eq!(ContainerCall::of("DELETE", "archive"), None);
        assert_eq!(ContainerCall::of("GET", "exec"), None);
        assert_eq!(ExecCall::of("GET", "start"), None);
    }
}
