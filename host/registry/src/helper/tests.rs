use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::ask::{OUTPUT_MAX, PATIENCE};
use super::*;

const REGISTRY: &str = "reg.example:5000";

/// A folder, and a program in it that a registry's credentials are asked of.
struct Given {
    folder: TempDir,
    helpers: CredentialHelpers,
}

// === impl Given ===

impl Given {
    /// A shell script, to which `$HERE` is the folder.
    fn script(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("helper");
        write_program(&program, &format!("#!/bin/sh\nHERE={}\n{text}\n", folder.path().display()));
        let helpers = helpers(&[&format!("{REGISTRY}={}", program.display())]);
        Self { folder, helpers }
    }

    async fn asked(&self) -> Result<Credentials, HelperError> {
        self.helpers.get(REGISTRY).await.expect("a program")
    }

    async fn refused(&self) -> String {
        let why = self.asked().await.expect_err("no credentials").to_string();
        why.replace(&*self.folder.path().to_string_lossy(), "")
    }

    /// What the script has written to a file; empty before it has.
    fn written(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    /// Waits until the script has written a whole line to a file; it.
    async fn line(&self, file: &str) -> String {
        while !self.written(file).ends_with('\n') {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.written(file).trim().to_owned()
    }
}

/// Another process writes it: a file that this one has open for writing while another test
/// starts a process cannot be run until that one is under way.
fn write_program(path: &Path, text: &str) {
    let mut shell = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 700 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = shell.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    assert!(shell.wait().expect("its end").success());
}

fn helpers(flags: &[&str]) -> CredentialHelpers {
    let read = flags.iter().map(|flag| flag.parse::<CredentialHelper>().expect("a flag"));
    CredentialHelpers::new(read).expect("one per registry")
}

#[tokio::test]
async fn a_program_is_asked_in_dockers_protocol() {
    let given =
        Given::script(r#"printf '{"ServerURL":"x","Username":"%s","Secret":"%s"}' "$1" "$(cat)""#);
    let credentials = given.asked().await.expect("credentials");
    assert!(credentials == Credentials::user("get".into(), REGISTRY.into()), "{credentials:?}");
    assert!(given.helpers.get("other.example").await.is_none(), "it has no program");
}

#[tokio::test]
async fn docker_hub_is_asked_for_by_the_name_that_helpers_know() {
    let given = Given::script(r#"printf '{"Username":"me","Secret":"%s"}' "$(cat)""#);
    let program = given.folder.path().join("helper");
    let want = Credentials::user("me".into(), "https://index.docker.io/v1/".into());
    for typed in ["docker.io", "index.docker.io", "https://index.docker.io/v1/"] {
        let helpers = helpers(&[&format!("{typed}={}", program.display())]);
        for image in ["redis", "docker.io/a/b", "index.docker.io/a/b"] {
            let domain = ImageReference::parse(image).domain();
            let got = helpers.get(domain).await.expect("a program").expect("credentials");
            assert!(got == want, "{typed}, {image}: {got:?}");
        }
    }
}

#[tokio::test]
async fn the_user_of_a_token_says_that_the_secret_is_one() {
    let given = Given::script(r#"echo '{"ServerURL":"x","Username":"<token>","Secret":"t0ken"}'"#);
    let credentials = given.asked().await.expect("credentials");
    assert!(credentials == Credentials::identity_token("t0ken".into()), "{credentials:?}");
}

#[tokio::test]
async fn why_there_are_no_credentials_is_told_without_any_secret() {
    let helper = "the credential helper /helper";
    for (script, want) in [
        (
            "echo credentials not found in native keychain; exit 1",
            "has no credentials for reg.example:5000",
        ),
        (r#"echo '{"Username":"","Secret":""}'"#, "has no credentials for reg.example:5000"),
        (
            "echo the store; echo is locked >&2; exit 3",
            "failed (exit status: 3): the store; is locked",
        ),
        (
            r#"echo '{"Username":"me","Secret":"s3cret"}'; exit 1"#,
            "failed (exit status: 1): it does not say why",
        ),
        ("echo s3cret", "did not print a JSON object with Username and Secret"),
        (
            r#"echo '{"Username":"me","Secret":["s3cret"]}'"#,
            "did not print a JSON object with Username and Secret",
        ),
    ] {
        let refused = Given::script(script).refused().await;
        assert_eq!(refused, format!("{helper} {want}"), "{script}");
    }
}

#[tokio::test]
async fn a_program_that_does_not_stop_talking_is_ended() {
    for output in ["yes", "yes >&2"] {
        let refused = Given::script(output).refused().await;
        assert_eq!(
            refused,
            format!("the credential helper /helper printed more than {OUTPUT_MAX} bytes")
        );
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let given = Given::script("sleep 1000 &\necho $$ $! > $HERE/pids\nwait");
    let helpers = given.helpers.clone();
    let asked = tokio::spawn(async move { helpers.get(REGISTRY).await });
    let pids = given.line("pids").await;
    tokio::time::pause();
    tokio::time::advance(PATIENCE).await;
    let refused = asked.await.expect("no panic").expect("a program").expect_err("it hangs");
    assert!(refused.to_string().ends_with("gave no answer in 20 s"), "{refused}");
    are_gone(&pids);
}

#[tokio::test]
async fn a_program_ends_with_the_pull_that_asked_for_it() {
    let given = Given::script("sleep 1000 &\necho $$ $! > $HERE/pids\nwait");
    let helpers = given.helpers.clone();
    let asked = tokio::spawn(async move { helpers.get(REGISTRY).await });
    let pids = given.line("pids").await;
    asked.abort();
    assert!(asked.await.is_err_and(|ended| ended.is_cancelled()));
    are_gone(&pids);
}

/// Waits until processes have ended: they are killed, and do so in their own time.
fn are_gone(pids: &str) {
    for pid in pids.split(' ') {
        let lives = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
        };
        let mut looks = 0;
        while lives() {
            looks += 1;
            assert!(looks < 6000, "{pid} goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[tokio::test]
async fn pulls_at_one_time_share_a_process_and_later_ones_ask_again() {
    let given = Given::script(
        "echo run >> $HERE/runs\n\
         while [ ! -e $HERE/go ]; do sleep 0.01; done\n\
         echo '{\"Username\":\"me\",\"Secret\":\"s3cret\"}'",
    );
    let go = async {
        given.line("runs").await;
        fs::write(given.folder.path().join("go"), "").expect("a file");
    };
    let (one, other, ()) = tokio::join!(given.asked(), given.asked(), go);
    let want = Credentials::user("me".into(), "s3cret".into());
    assert!(one == Ok(want.clone()) && other == Ok(want), "{one:?} {other:?}");
    assert_eq!(given.written("runs"), "run\n");
    given.asked().await.expect("credentials");
    assert_eq!(given.written("runs"), "run\nrun\n", "nothing was kept");
    assert!(!format!("{:?}", given.helpers).contains("s3cret"));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_before_it_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nowhere");
    let one = helpers(&[&format!("{REGISTRY}={}", path.display())]);
    let why = format!("the credential helper {} cannot be run: no such file", path.display());
    assert_eq!(one.missing().iter().map(HelperError::to_string).collect::<Vec<_>>(), [&*why]);
    let asked = one.get(REGISTRY).await.expect("a program").expect_err("it is not there");
    assert_eq!(asked.to_string(), why);
}

#[test]
fn a_bare_name_is_looked_for_on_the_path_as_dockers_client_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("docker-credential-pass");
    fs::write(&file, "").expect("a file");
    for typed in ["pass", "docker-credential-pass"] {
        let flag: CredentialHelper = format!("{REGISTRY}={typed}").parse().expect("a flag");
        let path = std::env::join_paths([Path::new("/nonexistent"), folder.path()]);
        assert_eq!(flag.program.find_on(&path.expect("a path")), Ok(file.clone()), "{typed}");
        let missing = flag.program.find_on(OsStr::new("")).expect_err("no folder").to_string();
        assert_eq!(
            missing,
            "the credential helper docker-credential-pass cannot be run: it is not on the \
             daemon's PATH"
        );
    }
}

#[test]
fn flags_that_name_nothing_are_refused() {
    for (flag, want) in [
        ("", "want REGISTRY=/PATH, or REGISTRY=NAME for docker-credential-NAME, got \"\""),
        ("reg.example", "want REGISTRY=/PATH, or "),
        ("reg.example=", "want REGISTRY=/PATH, or "),
        ("reg.example=bin/helper", "want REGISTRY=/PATH, or "),
        ("=pass", "want a registry as images name it, such as reg.example or "),
        ("https://reg.example=pass", "got \"https://reg.example\""),
        ("reg.example/team=pass", "got \"reg.example/team\""),
        ("registry=pass", "got \"registry\""),
    ] {
        let refused = flag.parse::<CredentialHelper>().expect_err(flag);
        assert!(refused.contains(want), "{flag}: {refused}");
    }
    let two = ["docker.io=pass", "index.docker.io=/bin/other"]
        .map(|flag| flag.parse::<CredentialHelper>());
    let two = two.into_iter().collect::<Result<Vec<_>, _>>().expect("flags");
    let refused = CredentialHelpers::new(two).expect_err("two");
    let want = "docker.io has two credential helpers, docker-credential-pass and /bin/other: \
                name one";
    assert_eq!(refused, want);
}
