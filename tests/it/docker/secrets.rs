//! Secrets and configs in containers, through the real client too.

use super::{container, import_everywhere, running, take_turn};
use crate::support::{Cluster, eventually, mounts_below};

#[test]
fn containers_have_secrets_and_configs_as_the_docker_client_says() {
    let _turn = take_turn();
    let mut cluster = Cluster::of_engines(1, 0);
    import_everywhere(&cluster, &[("tool:1", &[])]);
    let docker = |cluster: &Cluster, line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let output = cluster.nodes[0].docker(&words);
        assert_eq!(output.code, 0, "docker {line}: {output}");
        output.stdout
    };
    let (pw, conf) = (cluster.file("pw", b"hush\n"), cluster.file("conf", b"{{ env \"MODE\" }}"));
    docker(&cluster, &format!("secret create --label a=b pw {}", pw.display()));
    docker(&cluster, &format!("config create --template-driver golang conf {}", conf.display()));
    let listed = docker(&cluster, "secret ls --format {{.Name}}:{{.Labels}}");
    assert_eq!(listed, "pw:a=b\n");
    docker(
        &cluster,
        "service create --detach --no-resolve-image --name db --env MODE=fast --user 5:6 \
         --stop-grace-period 1s --secret pw \
         --secret source=pw,target=/etc/app/pw,uid=5,gid=6,mode=0400 \
         --config source=conf,target=/etc/app/conf tool:1 sleep 1000",
    );
    let task = &running(&cluster.nodes[0], "db", 1)[0];
    let machine = &cluster.machines[0];
    let inside =
        |command: &[&str]| machine.docker(&[&["exec", &container(task)], command].concat());
    assert_eq!(inside(&["cat", "/run/secrets/pw", "/etc/app/pw"]), "hush\nhush\n");
    assert_eq!(inside(&["cat", "/etc/app/conf"]), "fast");
    let modes = inside(&["ls", "-ln", "/run/secrets/pw", "/etc/app/pw"]);
    let fields: Vec<Vec<_>> =
        modes.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    let of = |line: &str| modes.lines().position(|l| l.ends_with(line)).expect("a line");
    assert_eq!(fields[of("/run/secrets/pw")], ["-r--r--r--", "1", "0", "0"]);
    assert_eq!(fields[of("/etc/app/pw")], ["-r--------", "1", "5", "6"]);
    let mounts = inside(&["cat", "/proc/mounts"]);
    let line = mounts.lines().find(|line| line.contains(" /run/secrets/pw ")).expect("a mount");
    assert!(line.contains(" tmpfs ro,"), "{line}");
    let inspected = machine.docker(&["inspect", &container(task)]);
    assert!(!inspected.contains("hush"), "{inspected}");

    // The daemon goes and comes back; the container is the same one and reads on.
    let id = container(task);
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    let adopted = running(&cluster.nodes[0], "db", 1);
    assert_eq!(container(&adopted[0]), id);
    let machine = &cluster.machines[0];
    assert_eq!(machine.docker(&["exec", &id, "cat", "/etc/app/pw"]), "hush\n");
    docker(&cluster, "service update --detach --force db");
    eventually("another container", || {
        match running(&cluster.nodes[0], "db", 1).first().map(container) {
            Some(now) if now != id => Ok(()),
            now => Err(format!("{now:?}")),
        }
    });

    let refused = cluster.nodes[0].docker(&["secret", "rm", "pw"]);
    assert!(
        refused.stderr.contains("secret 'pw' is in use by the following service: db"),
        "{refused}"
    );
    docker(&cluster, "service update --detach --secret-rm pw --config-rm conf db");
    docker(&cluster, "secret rm pw");
    docker(&cluster, "config rm conf");
    let own = cluster.nodes[0].state_dir();
    eventually("nothing is mounted", || match mounts_below(&own) {
        (mounts, _) if mounts.is_empty() => Ok(()),
        (mounts, _) => Err(format!("{mounts:?}")),
    });
}
