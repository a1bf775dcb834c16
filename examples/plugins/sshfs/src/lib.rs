//! `--mount type=volume,source=shared,volume-driver=sshfs,volume-opt=host=data@10.0.0.9,volume-opt=path=/srv/shared`:
//! a directory of another machine, the same from every node.

use swarmw_sdk::*;

struct Sshfs;

/// `volume-opt=OPTION=VALUE`.
#[derive(Options)]
struct Settings {
    /// the machine, as USER@HOST or HOST
    host: String,
    /// the directory there; it must exist
    path: String,
    /// the port of its SSH server
    #[option(default = "22", min = "1", max = "65535")]
    port: i64,
    /// the file on each node that holds the key to log in with
    #[option(default = "/etc/swarmw/ssh/key")]
    identity: String,
    /// what the volume calls the secret with that key; instead of the file
    #[option(default = "")]
    key: String,
    /// the file on each node that holds the server's own key
    #[option(default = "/etc/swarmw/ssh/known_hosts")]
    hosts: String,
}

export!(Sshfs: VolumeDriver);

/// The program, by the name that operators and admins allow it by.
const PROGRAM: &str = "sshfs";
/// Options of every mount: never ask, notice a server that is gone, let a task's user in.
const ALWAYS: [&str; 7] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "reconnect",
    "allow_other",
    "default_permissions",
];

impl VolumeDriver for Sshfs {
    const NAME: &'static str = "example/sshfs";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("sshfs")]
    }

    fn grants() -> Vec<Grant> {
        vec![
            Grant::helper(PROGRAM, "serves the directory of the other machine"),
            Grant::secret("*", "logs in with the key that the volume names, if it names one"),
        ]
    }

    fn check(volume: &Volume<Settings>) -> Result<Scope, Problem> {
        let Settings { host, path, identity, hosts, .. } = &volume.options;
        // What follows is one word of a command line: nothing in it may be an option.
        let plain = |c: char| c.is_ascii_alphanumeric() || "@.-_:[]".contains(c);
        if !host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            || !host.chars().all(plain)
        {
            return Err(problem("bad-host", format!("{host:?} is no USER@HOST")).of_option("host"));
        }
        for (name, path) in [("path", path), ("identity", identity), ("hosts", hosts)] {
            if !path.starts_with('/') || path.contains([',', ' ', '"', '\\', '%']) {
                let message = format!("{path:?} is no absolute path without blanks and commas");
                return Err(problem("bad-path", message).of_option(name));
            }
        }
        Ok(Scope::Cluster)
    }

    /// The directory is there: see `path`.
    fn create(_: &Volume<Settings>, _: &Node) -> Result<Vec<Step>, VolumeError> {
        Ok(Vec::new())
    }

    fn mount(
        volume: &Volume<Settings>,
        _: &Node,
        read_only: bool,
    ) -> Result<Vec<Step>, VolumeError> {
        let settings = &volume.options;
        let word = |text: String| Arg { text, value: None };
        let mut args = vec![
            word(format!("{}:{}", settings.host, settings.path)),
            Arg { text: String::new(), value: Some(Value::Target) },
            word("-f".into()),
            word(format!("-p{}", settings.port)),
            match settings.key.as_str() {
                "" => word(format!("-oIdentityFile={}", settings.identity)),
                key => Arg {
                    text: "-oIdentityFile=".into(),
                    value: Some(Value::SecretFile(key.into())),
                },
            },
            word(format!("-oUserKnownHostsFile={}", settings.hosts)),
        ];
        args.extend(ALWAYS.iter().map(|option| word(format!("-o{option}"))));
        if read_only {
            args.push(word("-oro".into()));
        }
        let program = PROGRAM.into();
        Ok(vec![Step::Helper(HelperStep { program, args, env: Vec::new(), stdin: None })])
    }

    /// The data stay on the other machine: they were there before.
    fn remove(_: &Volume<Settings>, _: &Node) -> Result<Vec<Step>, VolumeError> {
        Ok(Vec::new())
    }

    fn usage(_: &Volume<Settings>, _: &Node) -> Measure {
        Measure::FileSystem
    }
}
