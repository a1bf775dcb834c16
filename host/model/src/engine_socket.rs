//! What containers get that mount the socket of their node's engine.

use crate::{Refusal, RefusalKind};

/// Where engines have their sockets, as files for Docker name them.
const USUAL: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];
/// A mount with this propagation has what is mounted on its source later.
const FOLLOWS: &str = "rslave";
/// Words for propagation among the options of a bind.
const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// What a node gives to containers that mount its engine's socket. Programs that look after a
/// swarm, such as Portainer and Traefik, talk through that socket, and an engine knows of no
/// swarm here: so by default they get the API of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSocket {
    /// The paths that mean the engine's socket.
    paths: Vec<String>,
    given: Given,
}

/// What is given for the engine's socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// That very socket.
    #[default]
    Engine,
    /// Nothing: such a container is refused.
    Nothing,
    /// The API of the daemon.
    Api {
        /// Below this folder each path of the engine's socket is a link to the API's. So what
        /// was asked for can be told from what is mounted.
        links: String,
        /// The API's socket is mounted where the links lead, anew by each daemon, and
        /// containers have to follow.
        mounted: bool,
    },
}

/// What a container binds for the engine's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instead {
    /// The path on the node.
    pub source: String,
    /// The bind's propagation, where it matters.
    pub propagation: Option<&'static str>,
}

// === impl EngineSocket ===

impl EngineSocket {
    /// Of a node whose engine listens at this path.
    pub fn new(engine: &str, given: Given) -> Self {
        Self { paths: Self::paths_of(engine), given }
    }

    /// The paths that mean the socket of an engine that listens at this one.
    pub fn paths_of(engine: &str) -> Vec<String> {
        let mut paths: Vec<_> = USUAL.map(str::to_owned).into();
        let engine = clean(engine);
        if !paths.contains(&engine) {
            paths.push(engine);
        }
        paths
    }

    /// What to bind instead of a path of the node; `None`: that path.
    ///
    /// # Errors
    /// The path is the engine's socket, and the node gives it to nobody.
    pub fn instead_of(&self, source: &str) -> Result<Option<Instead>, Refusal> {
        let path = clean(source);
        if !self.paths.contains(&path) {
            return Ok(None);
        }
        match &self.given {
            Given::Engine => Ok(None),
            Given::Nothing => Err(Refusal::plain(
                RefusalKind::PermissionDenied,
                format!(
                    "this node gives its engine's socket to no container: leave out the mount \
                     of {source}, or start the daemon with --engine-socket-in-containers=api"
                ),
            )),
            Given::Api { links, mounted } => Ok(Some(Instead {
                source: format!("{links}{path}"),
                propagation: mounted.then_some(FOLLOWS),
            })),
        }
    }

    /// The folder below which everything stands for the engine's socket, if there is one.
    pub fn links(&self) -> Option<&str> {
        match &self.given {
            Given::Api { links, .. } => Some(links),
            Given::Engine | Given::Nothing => None,
        }
    }

    /// The path that somebody asked for who was given this one; `None`: the same.
    pub fn asked_for<'a>(&self, source: &'a str) -> Option<&'a str> {
        let path = source.strip_prefix(self.links()?)?;
        self.paths.iter().any(|known| known == path).then_some(path)
    }

    /// A bind as engines read it, `SOURCE:TARGET[:OPTIONS]`, with what is given instead of its
    /// source; `None`: it stays.
    ///
    /// # Errors
    /// As with [`Self::instead_of`].
    pub fn bind_instead_of(&self, bind: &str) -> Result<Option<String>, Refusal> {
        let Some((source, rest)) = bind.split_once(':') else { return Ok(None) };
        let Some(instead) = self.instead_of(source)? else { return Ok(None) };
        let (target, options) = rest.split_once(':').unwrap_or((rest, ""));
        let own = options.split(',').filter(|word| !PROPAGATIONS.contains(word));
        let options = own.chain(instead.propagation).filter(|word| !word.is_empty());
        Ok(Some(bind_of(&instead.source, target, options)))
    }

    /// The bind that somebody asked for who was given this one; `None`: the same.
    pub fn bind_asked_for(&self, bind: &str) -> Option<String> {
        // The folder's own path may have a colon.
        let path = bind.strip_prefix(self.links()?)?;
        let (path, rest) = path.split_once(':')?;
        if !self.paths.iter().any(|known| known == path) {
            return None;
        }
        let (target, options) = rest.split_once(':').unwrap_or((rest, ""));
        Some(bind_of(path, target, asked_options(options)))
    }

    /// The options of a bind without those that it was given.
    pub fn options_asked_for(&self, options: &str) -> String {
        asked_options(options).collect::<Vec<_>>().join(",")
    }

    /// Whether a bind's propagation was given to it, and not asked for.
    pub fn gives_propagation(&self, propagation: &str) -> bool {
        propagation == FOLLOWS && matches!(self.given, Given::Api { mounted: true, .. })
    }
}

fn asked_options(options: &str) -> impl Iterator<Item = &str> {
    options.split(',').filter(|word| *word != FOLLOWS && !word.is_empty())
}

fn bind_of<'a>(source: &str, target: &str, options: impl Iterator<Item = &'a str>) -> String {
    let options: Vec<_> = options.collect();
    match &options[..] {
        [] => format!("{source}:{target}"),
        options => format!("{source}:{target}:{}", options.join(",")),
    }
}

/// A path without what does not matter in it: `//var/./run/docker.sock/` is one of these.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(mounted: bool) -> EngineSocket {
        let given = Given::Api { links: "/state:1/for".to_owned(), mounted };
        EngineSocket::new("/engines/one.sock", given)
    }

    #[test]
    fn every_name_of_the_engines_socket_is_known_and_nothing_else() {
        let socket = api(true);
        for path in [
            "/var/run/docker.sock",
            "/run/docker.sock",
            "//var/run/docker.sock",
            "/var/run/./x/../docker.sock/",
            "/engines/one.sock",
        ] {
            let instead = socket.instead_of(path).expect("given").expect("something else");
            assert_eq!(instead.source, format!("/state:1/for{}", clean(path)), "{path}");
            assert_eq!(instead.propagation, Some("rslave"));
            assert_eq!(socket.asked_for(&instead.source), Some(&*clean(path)));
        }
        for path in ["/var/run", "/var/run/docker.sock.d", "docker", "", "/run/swarmw.sock"] {
            assert_eq!(socket.instead_of(path), Ok(None), "{path}");
        }
        assert_eq!(socket.asked_for("/state:1/for/etc/passwd"), None);
        assert_eq!(socket.asked_for("/var/run/docker.sock"), None);
    }

    #[test]
    fn binds_go_there_and_come_back_as_they_were_asked_for() {
        for (mounted, asked, given) in [
            (true, "/run/docker.sock:/s", "/state:1/for/run/docker.sock:/s:rslave"),
            (true, "/run/docker.sock:/s:ro,z", "/state:1/for/run/docker.sock:/s:ro,z,rslave"),
            (false, "/run/docker.sock:/s", "/state:1/for/run/docker.sock:/s"),
            (false, "/run/docker.sock:/s:ro", "/state:1/for/run/docker.sock:/s:ro"),
        ] {
            let socket = api(mounted);
            let instead = socket.bind_instead_of(asked).expect("given").expect("something else");
            assert_eq!(instead, given);
            assert_eq!(socket.bind_asked_for(given).as_deref(), Some(asked));
        }
        let socket = api(true);
        let private = socket.bind_instead_of("/run/docker.sock:/s:rprivate,ro").expect("given");
        assert_eq!(private.as_deref(), Some("/state:1/for/run/docker.sock:/s:ro,rslave"));
        for other in ["data:/var/lib", "/srv:/srv:rslave", "/only", ""] {
            assert_eq!(socket.bind_instead_of(other), Ok(None), "{other}");
            assert_eq!(socket.bind_asked_for(other), None, "{other}");
        }
    }

    #[test]
    fn a_node_may_give_the_engines_own_socket_or_none() {
        let engine = EngineSocket::new("/var/run/docker.sock", Given::Engine);
        assert_eq!(engine.instead_of("/var/run/docker.sock"), Ok(None));
        let none = EngineSocket::new("/var/run/docker.sock", Given::Nothing);
        let refused = none.bind_instead_of("/var/run/docker.sock:/s").expect_err("refused");
        assert_eq!(refused.kind, RefusalKind::PermissionDenied);
        assert!(refused.message.contains("/var/run/docker.sock"), "{refused}");
        assert_eq!(none.instead_of("/srv"), Ok(None));
        assert_eq!(EngineSocket::default().instead_of("/run/docker.sock"), Ok(None));
    }
}
