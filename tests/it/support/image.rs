//! Images made of the Debian packages installed here: nothing is downloaded.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::{Machine, must};

/// Programs that one busybox is.
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "false", "hostname", "httpd", "ip", "kill", "ls", "nc", "nslookup",
    "ping", "printf", "rm", "sleep", "test", "touch", "true", "wget",
];

/// Gets a page of a host at port 80: a static busybox cannot look up names.
const GET: &str = r#"#!/usr/bin/perl
use IO::Socket::INET;
my ($host, $path) = @ARGV;
my $to = IO::Socket::INET->new(PeerAddr => $host, PeerPort => 80, Timeout => 5)
    or die "$host: $@\n";
print $to "GET $path HTTP/1.0\r\nHost: $host\r\n\r\n";
local $/;
my ($head, $body) = split /\r?\n\r?\n/, <$to>, 2;
die "$head\n" unless $head =~ /^HTTP\S+ 200/;
print $body;
"#;

/// A page that says who answers, and whom.
const WHO: &str = "#!/bin/sh\necho; echo $(hostname) $REMOTE_ADDR\n";

/// A page of a proxy: its own name, and what a service `api` says to it.
const THROUGH: &str = "#!/bin/sh\necho; echo $(hostname) $(get api /cgi-bin/who)\n";

const PERL: &str = "/usr/bin/perl";

/// A file system for images, packed: busybox and Debian's redis.
#[derive(Debug)]
pub struct RootFs(PathBuf);

// === impl RootFs ===

impl RootFs {
    /// Packs it into `folder`, with further programs, by their paths on this machine.
    pub fn pack(folder: &Path, programs: &[&'static str]) -> Self {
        let root = folder.join("rootfs");
        for part in ["bin", "tmp", "www/cgi-bin"] {
            fs::create_dir_all(root.join(part)).expect("a folder of the image");
        }
        fs::copy("/usr/bin/busybox", root.join("bin/busybox")).expect("busybox-static");
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).expect("an applet");
        }
        fs::write(root.join("www/index.html"), "hello from a container\n").expect("a page");
        let scripts =
            [("www/cgi-bin/who", WHO), ("www/cgi-bin/through", THROUGH), ("bin/get", GET)];
        for (name, script) in scripts {
            let path = root.join(name);
            fs::write(&path, script).expect("a script");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
        }
        for program in ["/usr/bin/redis-server", "/usr/bin/redis-cli", PERL].iter().chain(programs)
        {
            copy_with_libraries(program, &root);
        }
        copy_perls_modules(&root);
        Self::of(folder, &root)
    }

    /// Packs others: these programs with their libraries, these files and folders of this
    /// machine where it has them, and what `add` puts beside them.
    pub fn pack_with(
        folder: &Path,
        programs: &[String],
        files: &[String],
        add: impl FnOnce(&Path),
    ) -> Self {
        let root = folder.join("rootfs");
        fs::create_dir_all(root.join("tmp")).expect("a folder of the image");
        for program in programs {
            copy_with_libraries(program, &root);
        }
        for file in files.iter().map(Path::new).filter(|file| file.exists()) {
            let to = root.join(file.strip_prefix("/").expect("an absolute path"));
            let to = to.parent().expect("a folder");
            fs::create_dir_all(to).expect("a folder of the image");
            must(Command::new("cp").args(["-r"]).arg(file).arg(to));
        }
        add(&root);
        Self::of(folder, &root)
    }

    fn of(folder: &Path, root: &Path) -> Self {
        let packed = folder.join("rootfs.tar");
        must(Command::new("tar").arg("-C").arg(root).arg("-cf").arg(&packed).arg("."));
        fs::remove_dir_all(root).expect("the unpacked files go");
        Self(packed)
    }

    /// Makes an image of it on a machine's engine, with changes as in a Dockerfile.
    pub fn import(&self, machine: &Machine, name: &str, changes: &[&str]) {
        let file = self.0.to_string_lossy().into_owned();
        let mut arguments = vec!["import"];
        for change in changes {
            arguments.extend(["--change", change]);
        }
        arguments.extend([file.as_str(), name]);
        machine.docker(&arguments);
    }
}

/// Copies the modules that every Debian has, sockets among them: nothing else there
/// speaks UDP.
fn copy_perls_modules(root: &Path) {
    let asked = Command::new(PERL).args(["-MSocket", "-e", "print $INC{'Socket.pm'}"]).output();
    let socket = PathBuf::from(String::from_utf8_lossy(&asked.expect("perl").stdout).as_ref());
    let modules = socket.parent().expect("a folder of modules");
    let to = root.join(modules.strip_prefix("/").expect("an absolute path"));
    fs::create_dir_all(to.parent().expect("a folder")).expect("a folder of the image");
    must(Command::new("cp").arg("-r").arg(modules).arg(to));
}

/// Copies a program and the libraries that the loader finds for it.
fn copy_with_libraries(program: &str, root: &Path) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain([program]) {
        let to = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder of the image");
        if !to.exists() {
            fs::copy(file, to).unwrap_or_else(|e| panic!("{file}: {e}"));
        }
    }
}
