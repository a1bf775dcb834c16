//! Leaders that have to compile a plugin first. On a clock that goes on by itself: a
//! simulated one stands still while a compiler works.

use std::path::Path;

use swarmw_model::{PlacedPreference, Placement, Preference, ServiceSpec, SwarmwOptions, TaskSpec};
use swarmw_plugin_host::Compiler;
use swarmw_sim::{Cluster, Settings, replicated};

use crate::support::settings;

/// Not a test of its own: the child of the other, which runs this binary as
/// `… --exact compilers::compiling_child compile-component PROFILE IN OUT`.
#[test]
fn compiling_child() {
    let arguments: Vec<_> = std::env::args_os()
        .skip_while(|argument| argument != "compile-component")
        .skip(1)
        .collect();
    if !arguments.is_empty() {
        swarmw_plugin_host::compile_child(&arguments).expect("it compiles");
    }
}

/// Compiles as a daemon does, but `swarmw/spread` waits until the gate is there.
fn gated(folder: &Path) -> Compiler {
    let script = format!(
        r#"if grep -q swarmw/spread "$3"; then
            while [ ! -e {} ]; do sleep 0.05; done
        fi
        exec {} --exact compilers::compiling_child "$@""#,
        folder.join("gate").display(),
        std::env::current_exe().expect("the test's own binary").display(),
    );
    let before = ["-c", &script, "sh"].map(Into::into).to_vec();
    Compiler::with_arguments("/bin/sh".into(), before, folder.join("cache"), [1; 32])
}

fn constrained(name: &str, replicas: u64) -> ServiceSpec {
    let mut spec = replicated(name, "app:1", replicas);
    let template: &mut TaskSpec = std::sync::Arc::make_mut(&mut spec.task_template);
    let constraints = vec!["node.role==worker".to_owned()];
    template.placement = Some(Placement { constraints, ..Placement::default() });
    spec
}

fn spread(name: &str, replicas: u64) -> ServiceSpec {
    let mut spec = replicated(name, "app:1", replicas);
    let preference = Preference { name: "spread".into(), argument: "node.hostname".into() };
    let preferences = vec![PlacedPreference { preference, after: 0 }];
    spec.swarmw = Some(SwarmwOptions { preferences, ..SwarmwOptions::default() });
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_serves_what_needs_no_plugin_that_it_still_compiles() {
    let folder = tempfile::tempdir().expect("a folder");
    let later_compiler = Some(gated(folder.path()));
    let cluster = Cluster::new(Settings { workers: 1, later_compiler, ..settings() }).await;
    let wide = cluster.create(spread("wide", 1)).await;
    cluster.running(wide, 1).await;

    cluster.leader().await.kill();
    // It has a compiler of its own, and all that it needs for this one.
    let web = cluster.create(constrained("web", 2)).await;
    cluster.running(web, 2).await;
    cluster
        .update(wide, |spec| {
            spec.mode = replicated("wide", "app:1", 3).mode;
        })
        .await;
    let waits = async || {
        let state = cluster.led()?;
        let waiting = state.tasks_of_service(wide).filter(|t| {
            t.node_id.is_none() && t.status.error.contains("swarmw/spread is still being compiled")
        });
        (waiting.count() == 2).then_some(())
    };
    cluster.soon("two tasks wait for their preference", waits).await;
    assert_eq!(cluster.running_in(&cluster.led().expect("a leader"), web).len(), 2);

    std::fs::write(folder.path().join("gate"), "").expect("a file");
    cluster.running(wide, 3).await;
}
