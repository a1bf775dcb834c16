//! What other programs make of what the command line gives them: shells of its completion
//! scripts, the docker client of its context.

use std::path::Path;
use std::process::Command;

use crate::support::{Cluster, Output};

/// Loads the script, presses the tab key after a word of which the daemon knows the rest, and
/// prints what there is then.
const SHELLS: [(&str, &[&str], &str); 3] = [
    (
        "bash",
        &["--norc", "-c"],
        r#"source <(swarmw completion bash)
           COMP_WORDS=(swarmw config inspect onlyo) COMP_CWORD=3; _swarmw
           echo "${COMPREPLY[@]}"
           COMP_WORDS=(swarmw node update --rol) COMP_CWORD=3; _swarmw
           echo "${COMPREPLY[@]}""#,
    ),
    (
        "zsh",
        &["-f", "-c"],
        // Completion is of an interactive shell, so there is one behind a terminal.
        r#"zmodload zsh/zpty
           seen() { local x; while zpty -r z x "*$1*"; do print -r -- "$x"; return; done }
           zpty z zsh -f -i
           zpty -w z "autoload -Uz compinit; compinit -u -D; source <(swarmw completion zsh); echo lo''aded"
           seen loaded
           zpty -w -n z $'swarmw config inspect onlyo\t'; seen onlyone
           zpty -w -n z $'\x15swarmw node update --rol\t'; seen --role"#,
    ),
    (
        "fish",
        &["--no-config", "-c"],
        r#"swarmw completion fish | source
           complete -C "swarmw config inspect onlyo"
           complete -C "swarmw node update --rol""#,
    ),
];

#[test]
fn shells_complete_names_and_the_docker_client_takes_the_context() {
    let cluster = Cluster::of(1, 0);
    let first = &cluster.nodes[0];
    first.typing(&["config", "create", "onlyone", "-"], "a config");
    for (shell, flags, script) in SHELLS {
        let said = in_shell(cluster.folder(), &first.socket(), shell, flags, script);
        assert!(said.stdout.contains("onlyone"), "{shell}: {said}");
        assert!(said.stdout.contains("--role"), "{shell}: {said}");
    }

    let home = cluster.folder().join("home");
    let made = first.configured(&home, &["context", "install", "here"]);
    assert_eq!(made.code, 0, "{made}");
    let docker = |arguments: &[&str]| {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_CONFIG", &home).env_remove("DOCKER_HOST").args(arguments);
        Output::of(&docker.output().expect("the docker client is installed"))
    };
    let listed = docker(&["--context", "here", "node", "ls", "--format", "{{.Hostname}}"]);
    assert_eq!(listed.stdout.trim(), first.name, "{listed}");
    let known = docker(&["context", "ls", "--format", "{{.Name}} {{.DockerEndpoint}}"]);
    let endpoint = format!("here unix://{}", first.socket().display());
    assert!(known.stdout.lines().any(|line| line == endpoint), "{known}");
}

/// Runs a script with the command line under test on the PATH, talking to this socket.
fn in_shell(folder: &Path, socket: &Path, shell: &str, flags: &[&str], script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_swarmw"));
    let beside = program.parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    // A shell that waits for what does not come is ended, so as to say what came.
    let mut within = Command::new("timeout");
    within
        .args(["60", shell])
        .args(flags)
        .arg(script)
        .env("HOME", folder)
        .env("PATH", format!("{beside}:{path}"))
        .env("SWARMW_HOST", format!("unix://{}", socket.display()));
    Output::of(&within.output().expect("`cargo xtask test` installs the shell"))
}
