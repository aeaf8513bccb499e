//! Real programs as services, with their real clients.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::harness::{Builder, Client, find, lacks, root, run, talk, text};

/// A tree with what trees have: depth, an empty file, a large one, a name with blanks, an executable, a link.
fn grow(tree: &Path) {
    fs::create_dir_all(tree.join("a/b/c")).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i >> 3) as u8).collect();
    fs::write(tree.join("a/large"), large).unwrap();
    for number in 0..200 {
        fs::write(
            tree.join(format!("a/b/file {number}")),
            format!("{number}\n"),
        )
        .unwrap();
    }
    fs::write(tree.join("a/b/c/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("a/b/c/run"), Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("a/large", tree.join("link")).unwrap();
}

fn assert_same(one: &Path, other: &Path) {
    let diff = run(Command::new("diff").arg("-r").arg(one).arg(other));
    assert!(diff.status.success(), "{}", text(&diff));
    let link = fs::read_link(other.join("link")).unwrap();
    assert_eq!(link.to_str(), Some("a/large"));
}

#[test]
fn rsync_pushes_and_pulls_a_tree() {
    if lacks(&["rsync", "diff"]) {
        return;
    }
    let builder = Builder::new();
    let module = builder.path().join("module");
    fs::create_dir(&module).unwrap();
    fs::set_permissions(&module, Permissions::from_mode(0o777)).unwrap();
    let config = builder.file(
        "rsyncd.conf",
        &format!(
            "use chroot = no\nreverse lookup = no\n[files]\npath = {}\nread only = no\n",
            module.display()
        ),
    );
    let rsync = find("rsync").unwrap();
    let daemon = builder
        .table(&format!(
            "[service.rsync]\nlisten = \"127.0.0.1:0\"\ncommand = ['{rsync}', '--daemon', '--config={config}', '--log-file=/dev/null']"
        ))
        .start();
    let tree = daemon.path().join("tree");
    grow(&tree);
    let url = format!("rsync://{}/files/", daemon.tcp("rsync"));
    let push = run(Command::new("rsync")
        .args(["-rltO", "--timeout=20"])
        .arg(format!("{}/", tree.display()))
        .arg(&url));
    assert!(push.status.success(), "{}", text(&push));
    let back = daemon.path().join("back");
    let pull = run(Command::new("rsync")
        .args(["-rltO", "--timeout=20", &url])
        .arg(&back));
    assert!(pull.status.success(), "{}", text(&pull));
    assert_same(&tree, &back);
    daemon.expect(&["EXIT: rsync", "status=0"]);
}

fn git(directory: &Path, words: &[&str]) {
    let output = run(Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(words)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0"));
    assert!(output.status.success(), "git {words:?}: {}", text(&output));
}

/// git daemon runs upload-pack only in repositories of its own user.
fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid);
        }
    }
}

#[test]
fn git_daemon_serves_a_clone_and_its_log_names_the_client() {
    if lacks(&["git", "diff"]) {
        return;
    }
    let builder = Builder::new();
    let work = builder.path().join("work");
    grow(&work);
    git(&work, &["init", "-q"]);
    git(&work, &["add", "."]);
    git(&work, &["commit", "-q", "-m", "all of it"]);
    let base = builder.path().join("base");
    fs::create_dir(&base).unwrap();
    git(
        &base,
        &["clone", "-q", "--bare", work.to_str().unwrap(), "tree.git"],
    );
    if root() {
        give(&base, 65534);
    }
    let git_program = find("git").unwrap();
    let base = base.to_str().unwrap();
    let daemon = builder
        .table(&format!(
            "[service.git]\nlisten = \"127.0.0.1:0\"\ncommand = ['{git_program}', 'daemon', '--inetd', '--verbose', '--log-destination=stderr', '--export-all', '--base-path={base}', '{base}']"
        ))
        .start();
    let url = format!("git://{}/tree.git", daemon.tcp("git"));
    git(daemon.path(), &["clone", "-q", &url, "clone"]);
    let clone = daemon.path().join("clone");
    fs::remove_dir_all(clone.join(".git")).unwrap();
    fs::remove_dir_all(work.join(".git")).unwrap();
    assert_same(&work, &clone);
    let start = daemon.expect(&["START: git"]);
    let port = start.split_once("port=").unwrap().1.split(' ').next();
    let from = format!("Connection from 127.0.0.1:{}", port.unwrap());
    daemon.expect(&["git", &from]);
}

#[test]
fn shell_script_is_a_service() {
    let builder = Builder::new();
    let script = builder.file(
        "guess",
        "#!/bin/sh\necho \"hello $REMOTE_ADDR\"\nwhile read -r word; do\n  case $word in quit) echo bye; exit 0;; *) echo \"you said $word\";; esac\ndone\n",
    );
    let daemon = builder
        .table(&format!(
            "[service.guess]\nlisten = \"127.0.0.1:0\"\ncommand = \"{script}\""
        ))
        .start();
    let mut client = Client::connect(daemon.tcp("guess"));
    assert_eq!(client.line(), "hello 127.0.0.1\n");
    client.send(b"one\n");
    assert_eq!(client.line(), "you said one\n");
    client.send(b"quit\nunread rest\n");
    assert_eq!(
        client.rest(),
        b"bye\n",
        "unread input does not cost the reply"
    );
    daemon.expect(&["EXIT: guess", "status=0"]);
}

#[test]
fn python_script_speaks_http_with_curl() {
    if lacks(&["python3", "curl"]) {
        return;
    }
    let builder = Builder::new();
    // /usr/bin/python3 where there is one: the tests' own may live where nobody may not look.
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let python = python.unwrap_or("/usr/bin/env python3");
    let script = builder.file(
        "http.py",
        &format!(
            "#!{python}
import os, sys
request = sys.stdin.buffer.readline().decode().split()
length = 0
while (line := sys.stdin.buffer.readline().strip()):
    name, _, value = line.partition(b':')
    if name.lower() == b'content-length': length = int(value)
body = sys.stdin.buffer.read(length)
answer = ('%s %s from %s, %d bytes\\n' % (request[0], request[1], os.environ['REMOTE_ADDR'], len(body))).encode()
sys.stdout.buffer.write(b'HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(answer) + answer)
"
        ),
    );
    let daemon = builder
        .table(&format!(
            "[service.http]\nlisten = \"127.0.0.1:0\"\ncommand = \"{script}\""
        ))
        .start();
    let url = format!("http://{}/path?q=1", daemon.tcp("http"));
    let curl = |words: &[&str]| {
        let output = run(Command::new("curl")
            .args(["-sS", "--noproxy", "*", "-m", "20"])
            .args(words)
            .arg(&url));
        text(&output)
    };
    assert_eq!(curl(&[]), "GET /path?q=1 from 127.0.0.1, 0 bytes\n");
    let body = "x".repeat(100_000);
    assert_eq!(
        curl(&["-H", "Expect:", "-d", &body]),
        "POST /path?q=1 from 127.0.0.1, 100000 bytes\n"
    );
}

#[test]
fn nc_and_socat_are_clients() {
    if lacks(&["nc", "socat"]) {
        return;
    }
    let builder = Builder::new();
    let path = builder.path().join("s");
    let daemon = builder
        .table(&format!(
            "[service.upper]\nlisten = [\"127.0.0.1:0\", \"{}\"]\ncommand = \"/usr/bin/tr a-z A-Z\"",
            path.display()
        ))
        .start();
    let port = daemon.tcp("upper").port();
    for client in [
        format!("nc -N -w 10 127.0.0.1 {port}"),
        format!("nc -N -w 10 -U {}", path.display()),
        format!("socat -t 10 - TCP:127.0.0.1:{port}"),
        format!("socat -t 10 - UNIX-CONNECT:{}", path.display()),
    ] {
        let line = format!("printf 'words\\n' | {client}");
        let output = run(Command::new("sh").args(["-c", &line]));
        assert_eq!(text(&output), "WORDS\n", "{client}");
    }
}

#[test]
fn socat_is_a_service() {
    if lacks(&["socat"]) {
        return;
    }
    let socat = find("socat").unwrap();
    let daemon = Builder::new()
        .table(&format!(
            "[service.nested]\nlisten = \"127.0.0.1:0\"\ncommand = ['{socat}', '-t', '5', '-', 'EXEC:cat']"
        ))
        .start();
    assert_eq!(talk(daemon.tcp("nested"), b"through two"), "through two");
}
