//! What the present specification has beyond Docker's version 3.

use crate::Case;

/// The YAML of the first service, its name and the keys around it left out.
fn body(yaml: &str) -> String {
    let lines = yaml.lines().skip_while(|line| *line != "services:").skip(2);
    let lines = lines.take_while(|line| line.starts_with("    "));
    lines.map(|line| format!("{}\n", &line[4..])).collect()
}

#[test]
fn a_name_takes_the_place_of_the_version() {
    let yaml = Case::of("name: shop\nservices: {a: {image: x}}").yaml().expect("a file");
    assert_eq!(yaml, "name: shop\nservices:\n  a:\n    image: x\n");
}

#[test]
fn variables_of_a_dot_env_file_are_used_and_the_clients_own_win() {
    let text = "services: {a: {image: '$A-$B-$C'}}";
    let case = Case::of(text).and(".env", "A=1\nB=2\n").set("B", "own");
    let loaded = case.load(&["c.yml"]).expect("a file");
    assert_eq!(body(&loaded.project.to_yaml()), "image: 1-own-\n");
    assert_eq!(loaded.warnings, ["The \"C\" variable is not set. Defaulting to a blank string."]);
    // Docker's own format does not know the file.
    let old = format!("version: '3'\n{text}");
    let case = Case::of(&old).and(".env", "A=1\n");
    let loaded = case.load(&["c.yml"]).expect("a file");
    assert_eq!(body(&loaded.project.to_yaml()), "image: --\n");
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn without_interpolation_variables_stay_as_they_are() {
    let case = Case {
        skip_interpolation: true,
        ..Case::of("services: {a: {image: 'x:$T', command: [\"$$A\"]}}")
    };
    assert_eq!(body(&case.yaml().expect("a file")), "command:\n  - $$A\nimage: x:$T\n");
}

#[test]
fn services_of_profiles_are_there_when_their_profile_is() {
    let text = "services:\n  a: {image: x}\n  b: {image: y, profiles: [dev, test]}\n";
    for (profiles, want) in [(vec![], 1), (vec!["test"], 2), (vec!["*"], 2), (vec!["prod"], 1)] {
        let case = Case { profiles, ..Case::of(text) };
        assert_eq!(case.stack().expect("a stack").services.len(), want);
    }
}

#[test]
fn a_service_extends_another_of_its_file_and_of_others() {
    let text = "services:\n  a:\n    extends: {file: sub/base.yml, service: web}\n    environment: {B: 2}\n    command: c\n  \
                b: {extends: a, image: z, ports: ['81:80']}\n";
    let base = "services:\n  web:\n    extends: root\n    env_file: x.env\n    volumes: ['./d:/d']\n    ports: ['80:80']\n  \
                root: {image: '$IMG', command: q, environment: [A=1, B=1]}\n";
    let case = Case::of(text).and("sub/base.yml", base).and("sub/x.env", "X=1").set("IMG", "i");
    let yaml = case.yaml().expect("a file");
    let want = "version: \"3.13\"\nservices:\n  a:\n    command:\n      - c\n    environment:\n      A: \"1\"\n      \
                B: \"2\"\n      X: \"1\"\n    env_file:\n      - x.env\n    image: i\n    ports:\n      - mode: ingress\n        \
                target: 80\n        published: 80\n        protocol: tcp\n    volumes:\n      - type: bind\n        \
                source: /stack/sub/d\n        target: /d\n  b:\n";
    assert!(yaml.starts_with(want), "{yaml}");
    assert!(yaml.contains("    image: z\n") && yaml.contains("published: 81"), "{yaml}");
}

#[test]
fn extending_in_a_circle_or_nothing_is_refused() {
    for (text, want) in [
        (
            "services:\n  a: {extends: b}\n  b: {extends: a}\n",
            "c.yml:2:16: services.a.extends comes back to itself",
        ),
        (
            "services:\n  a: {extends: {service: x}}\n",
            "c.yml:2:16: services.a.extends: no service \"x\" in this file",
        ),
        (
            "services:\n  a: {extends: {service: x, file: no.yml}}\n",
            "c.yml:2:16: open /stack/no.yml: no such file or directory",
        ),
        (
            "services:\n  a: {extends: {service: x, fil: no.yml}}\n",
            "c.yml:2:29: services.a.extends Additional property fil is not allowed",
        ),
    ] {
        assert_eq!(Case::of(text).refused(), want, "{text}");
    }
}

#[test]
fn included_files_have_their_own_folder_and_variables() {
    let text = "include: [sub/inc.yml]\nservices: {a: {image: '$V', depends_on: [b]}}\n";
    let included = "services:\n  b:\n    image: b:$V\n    volumes: ['./d:/d']\nvolumes: {data: }\n";
    let case =
        Case::of(text).and("sub/inc.yml", included).and("sub/.env", "V=sub").and(".env", "W=1");
    let yaml = case.yaml().expect("a file");
    assert!(yaml.contains("image: b:sub\n"), "{yaml}");
    assert!(yaml.contains("source: /stack/sub/d\n"), "{yaml}");
    assert!(yaml.contains("image: \"\"\n") || !yaml.contains("image: sub\n"), "{yaml}");
    let clash = Case::of("include: [i.yml]\nservices: {b: {image: x}}")
        .and("i.yml", "services: {b: {image: y}}");
    assert_eq!(clash.refused(), "c.yml:2:12: services.b conflicts with the one of i.yml:1:12");
    let circle = Case::of("include: [i.yml]").and("i.yml", "include: [i.yml]");
    assert_eq!(circle.refused(), "i.yml:1:11: /stack/i.yml comes back to itself");
}

#[test]
fn the_long_form_of_include_has_a_folder_and_variables_of_its_own() {
    let text = "include:\n  - path: sub/inc.yml\n    project_directory: other\n    \
                env_file: [one.env, two.env]\nservices: {a: {image: '$A'}}\n";
    let included = "services:\n  b:\n    image: $A-$B-$C-$D\n    volumes: ['./d:/d']\n";
    let case = Case::of(text)
        .and("sub/inc.yml", included)
        .and("one.env", "A=1\nB=1\nC=${A}1\nD=1\n")
        .and("two.env", "B=2\nC=${C}2\n")
        .and("other/.env", "B=3\n")
        .set("D", "own");
    let yaml = case.yaml().expect("a file");
    // A later file goes before an earlier one, and the client's own before both.
    assert!(yaml.contains("image: 1-2-112-own\n"), "{yaml}");
    assert!(yaml.contains("source: /stack/other/d\n"), "{yaml}");
    assert!(yaml.contains("  a: {}\n"), "they are the included file's alone: {yaml}");
}

#[test]
fn what_an_included_file_has_wrong_is_told_with_its_place() {
    for (included, want) in [
        (
            "services: {b: {image: x}}\nservces: {c: {image: y}}\n",
            "i.yml:2:1: (root) Additional property servces is not allowed: did you mean services?",
        ),
        (
            "services: {b: {image: x, imag: y}}",
            "i.yml:1:26: services.b Additional property imag is \
          not allowed: did you mean image?",
        ),
        (
            "version: '2.4'\nservices: {b: {image: x}}",
            "i.yml:1:10: unsupported Compose file version: 2.4",
        ),
    ] {
        let case = Case::of("include: [i.yml]\nservices: {a: {image: x}}").and("i.yml", included);
        assert_eq!(case.refused(), want);
    }
    let old = Case::of("version: '3.8'\ninclude: [i.yml]\nservices: {a: {image: x}}")
        .and("i.yml", "services: {b: {image: x, mem_limit: 1g}}");
    assert!(old.refused().contains("mem_limit: Set resource limits"), "{}", old.refused());
}

#[test]
fn only_a_variable_without_a_value_is_the_clients() {
    let text = "services:\n  a:\n    image: x\n    env_file: one.env\n    \
                environment: {EMPTY: '', BARE: }\n";
    let of = |text: &str| {
        let case = Case::of(text).and("one.env", "A=\nB\n").set("EMPTY", "own").set("BARE", "own");
        body(&case.set("A", "own").set("B", "own").yaml().expect("a file"))
    };
    let environment = |yaml: &str| yaml.lines().skip(1).take(4).collect::<Vec<_>>().join("\n");
    let own = "  A: \"\"\n  B: own\n  BARE: own\n  EMPTY: \"\"";
    assert_eq!(environment(&of(text)), own);
    // Docker's own client fills in the others too.
    let old = of(&format!("version: '3.8'\n{text}"));
    assert!(old.contains("A: own") && old.contains("EMPTY: own"), "{old}");
}

#[test]
fn the_projects_name_is_a_variable() {
    let text = "name: ${N:-shop}\nservices: {a: {image: '$COMPOSE_PROJECT_NAME'}}";
    let image = |case: Case<'_>| body(&case.yaml().expect("a file"));
    assert_eq!(image(Case::of(text)), "image: shop\n");
    assert_eq!(image(Case::of(text).set("N", "other")), "image: other\n");
    assert_eq!(image(Case::of(text).set("COMPOSE_PROJECT_NAME", "stack")), "image: stack\n");
}

#[test]
fn the_apis_socket_is_mounted_where_it_is_asked_for() {
    for (wanted, mounts) in [("true", 1), ("false", 0)] {
        let text = format!("services: {{a: {{image: x, use_api_socket: {wanted}}}}}");
        let stack = Case::of(&text).stack().expect("a stack");
        let container = stack.services[0].spec.task_template.container_spec.clone();
        let all = container.expect("a container").mounts;
        let found: Vec<_> = all.iter().map(|m| (m.source.as_str(), m.target.as_str())).collect();
        let socket = "/var/run/docker.sock";
        assert_eq!(found, vec![(socket, socket); mounts]);
    }
}

#[test]
fn tags_reset_and_override_what_an_earlier_file_says() {
    let base = "services: {a: {image: x, ports: ['80:80'], command: c, environment: {A: 1}, dns: [1.1.1.1]}}";
    let over = "services: {a: {ports: !override ['81:81'], command: !reset null, environment: !reset {}, dns: [2.2.2.2]}}";
    let case = Case::of(base).and("o.yml", over);
    let loaded = case.load(&["c.yml", "o.yml"]).expect("files");
    assert_eq!(
        body(&loaded.project.to_yaml()),
        "dns:\n  - 1.1.1.1\n  - 2.2.2.2\nimage: x\nports:\n  - mode: ingress\n    target: 81\n    published: 81\n    protocol: tcp\n"
    );
}

#[test]
fn documents_of_one_file_merge_too() {
    let yaml = Case::of("services: {a: {image: x}}\n---\nservices: {a: {tty: true}}\n").yaml();
    assert_eq!(body(&yaml.expect("a file")), "image: x\ntty: true\n");
}

#[test]
fn the_long_form_of_env_file_says_what_may_be_missing_and_what_is_raw() {
    let text = "services:\n  a:\n    image: x\n    env_file:\n      - {path: no.env, required: false}\n      \
                - {path: raw.env, format: raw}\n      - one.env\n    label_file: one.env\n";
    let case = Case::of(text).and("raw.env", "R='1' # x\n").and("one.env", "O='1' # x\n");
    assert_eq!(
        body(&case.yaml().expect("a file")),
        "environment:\n  O: \"1\"\n  R: '''1'' # x'\nenv_file:\n  - no.env\n  - raw.env\n  - one.env\nimage: x\nlabels:\n  O: \"1\"\n"
    );
}

#[test]
fn its_own_words_for_limits_and_scale_mean_what_deploy_says() {
    let text = "services: {a: {image: x, scale: 3, mem_limit: 64m, cpus: 0.5, pids_limit: 9, mem_reservation: 32m}}";
    assert_eq!(
        body(&Case::of(text).yaml().expect("a file")),
        "deploy:\n  replicas: 3\n  resources:\n    limits:\n      cpus: \"0.5\"\n      memory: \"67108864\"\n      pids: 9\n    \
         reservations:\n      memory: \"33554432\"\nimage: x\n"
    );
}

#[test]
fn dependencies_keep_their_conditions() {
    let text = "services:\n  a:\n    image: x\n    depends_on:\n      b: {condition: service_healthy}\n      \
                c: {condition: service_completed_successfully, required: false}\n  b: {image: y}\n";
    let case = Case::of(text);
    assert_eq!(
        body(&case.yaml().expect("a file")),
        "depends_on:\n  b:\n    condition: service_healthy\n  c:\n    condition: service_completed_successfully\n    required: false\nimage: x\n"
    );
}
