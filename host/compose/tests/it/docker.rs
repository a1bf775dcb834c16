//! Files and what `docker stack config` of version 28.2.2 prints of them, recorded with
//! `HOME=/home/me` and no other variable.

use crate::Case;

#[test]
fn files_print_line_for_line_as_dockers_client_prints_them() {
    let env = ("one.env", include_str!("docker/one.env"));
    let more = ("two.env", include_str!("docker/two.env"));
    for (name, files, want) in [
        (
            "full.yml",
            vec![("full.yml", include_str!("docker/full.yml"))],
            include_str!("docker/full.out"),
        ),
        (
            "scalars.yml",
            vec![("scalars.yml", include_str!("docker/scalars.yml"))],
            include_str!("docker/scalars.out"),
        ),
        (
            "rest.yml",
            vec![("rest.yml", include_str!("docker/rest.yml")), env, more],
            include_str!("docker/rest.out"),
        ),
    ] {
        let case = Case { files, ..Case::default() }.set("HOME", "/home/me");
        let got = case.yaml().expect(name);
        for (line, (got, want)) in got.lines().zip(want.lines()).enumerate() {
            assert_eq!(got, want, "{name}, line {} of the output", line + 1);
        }
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn two_files_merge_as_dockers_client_merges_them() {
    let case = Case::default()
        .and("merged.yml", include_str!("docker/merged.yml"))
        .and("merged.over.yml", include_str!("docker/merged.over.yml"));
    let loaded = case.load(&["merged.yml", "merged.over.yml"]).expect("two files");
    assert_eq!(loaded.project.to_yaml(), include_str!("docker/merged.out"));
}

#[test]
fn what_it_prints_reads_as_the_same_project() {
    let case = Case::of(include_str!("docker/full.out")).set("HOME", "/home/me");
    assert_eq!(case.yaml().expect("a file"), include_str!("docker/full.out"));
}

#[test]
fn options_that_mean_nothing_here_are_warned_of_by_name() {
    let env = include_str!("docker/one.env");
    let case = Case::of(include_str!("docker/rest.yml")).and("one.env", env).and("two.env", "");
    let loaded = case.load(&["c.yml"]).expect("a file");
    let names: Vec<_> = loaded.unsupported.iter().map(String::as_str).collect();
    assert_eq!(
        names.join(", "),
        "build, cgroup_parent, domainname, external_links, links, mac_address, network_mode, \
         userns_mode"
    );
    let deprecated: Vec<_> = loaded.deprecated.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    assert_eq!(deprecated, ["container_name: Setting the container name is not supported."]);
    assert_eq!(
        loaded.warnings,
        [
            "ignoring IP-address (127.0.0.1:5000:5000/tcp) service will listen on '0.0.0.0'",
            "cannot expand '~', because the environment lacks HOME",
        ]
    );
}
