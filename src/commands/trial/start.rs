//! What the program would be and find.

use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd as _;
use std::rc::Rc;

use crate::config::Written;
use crate::config::keys::Key;
use crate::launch::{Connection, Host, Plan};
use crate::service::{Address, Local, Peer, Preset, Protocol, Run, Service, Stderr, Stdio};

/// A launch that has been prepared.
pub(super) struct Start {
    pub(super) plan: Rc<Plan>,
    pub(super) local: Local,
    pub(super) peer: Peer,
}

impl Start {
    /// Prepares the launch for a client at one of the addresses.
    pub(super) fn new(service: &Service, peer: &Peer, address: &Address) -> Result<Self, String> {
        let host = Host::found().map_err(|error| error.to_string())?;
        let plan = Plan::prepare(service, &host).map_err(|error| error.to_string())?;
        let local = match address {
            Address::Inet {
                protocol: Protocol::Tcp,
                socket,
                ..
            } => Local::Inet(*socket),
            Address::Inet {
                protocol: Protocol::Udp,
                socket,
                ..
            } => Local::Udp(*socket),
            Address::Unix { name, .. } => Local::Unix(name.clone()),
            Address::Vsock { cid, port } => Local::Vsock {
                cid: *cid,
                port: *port,
            },
            // Whatever the service manager passes.
            Address::Inherited { .. } => Local::Inet(([0, 0, 0, 0], 0).into()),
        };
        Ok(Self {
            plan: Rc::new(plan),
            local,
            peer: peer.clone(),
        })
    }

    /// The lines below the rules.
    pub(super) fn text(&self, service: &Service, written: &Written) -> String {
        let process = &service.process;
        let mut text = String::new();
        let identity = process.identity.as_ref();
        let user = identity.map_or_else(
            || "that of the daemon".to_owned(),
            |identity| identity.name.clone(),
        );
        let groups = identity.map_or_else(String::new, |identity| {
            let groups: Vec<String> = identity.groups.iter().map(ToString::to_string).collect();
            format!(
                ", gid {}, groups {}",
                identity.gid,
                if groups.is_empty() {
                    "none".to_owned()
                } else {
                    groups.join(" ")
                }
            )
        });
        let root = process
            .root_directory
            .as_ref()
            .map_or_else(String::new, |root| format!(", root {root}"));
        let sandbox = match process.sandbox.preset {
            Preset::None => "none",
            Preset::Basic => "basic",
            Preset::Strict => "strict",
            Preset::Jail => "jail",
        };
        let _ = writeln!(
            text,
            "  user  {user}{groups}{root}, cwd {}, umask {:04o}, nice {}, sandbox {sandbox}",
            process.working_directory, process.umask, process.nice
        );
        match &service.run {
            Run::Program(program) => {
                let _ = write!(text, "{}", self.program(&program.path));
                let _ = writeln!(
                    text,
                    "  fds   {}, 2 = {}",
                    stdio(process.stdio),
                    stderr(&process.stderr)
                );
            }
            Run::Builtin(_) => {
                text.push_str("  runs  a built-in service, in a process of its own\n");
            }
            Run::Redirect(_) => text.push_str("  runs  a relay, in a process of its own\n"),
        }
        let _ = writeln!(text, "  then  {}", then(written));
        text
    }

    fn program(&self, path: &str) -> String {
        let stdin = io::stdin();
        let connection = Connection {
            socket: stdin.as_fd(),
            stderr: None,
            peer: Some(&self.peer),
            local: &self.local,
            id: "?",
            cookie: 0,
            concurrency: 0,
            cgroup: None,
            proxied_from: None,
        };
        let (arguments, environment) = self.plan.told(&connection);
        let name = if arguments
            .first()
            .is_some_and(|first| path.ends_with(&format!("/{first}")))
        {
            String::new()
        } else {
            format!("   (as {})", arguments.first().map_or("", String::as_str))
        };
        let words = std::iter::once(path).chain(arguments.iter().skip(1).map(String::as_str));
        let words: Vec<String> = words.map(quoted).collect();
        // The client's port is chosen when it comes.
        let variables = environment
            .iter()
            .map(|variable| match variable.strip_suffix("=0") {
                Some(name) if name.ends_with("REMOTE_PORT") || name.ends_with("REMOTEPORT") => {
                    format!("{name}=?")
                }
                _ => quoted(variable),
            });
        let variables: Vec<String> = variables.collect();
        format!(
            "  argv  {}{name}\n  env   {}\n",
            words.join(" "),
            variables.join(" ")
        )
    }
}

fn stdio(stdio: Stdio) -> &'static str {
    match stdio {
        Stdio::Socket => "0,1 = connection",
        Stdio::Pipe => "0,1 = pipes to the connection",
        Stdio::ListenFds => "3 = connection, 0,1 = /dev/null",
    }
}

fn stderr(stderr: &Stderr) -> String {
    match stderr {
        Stderr::Log | Stderr::LogEach => "log".to_owned(),
        Stderr::Client => "connection".to_owned(),
        Stderr::Null => "/dev/null".to_owned(),
        Stderr::Inherit => "that of the daemon".to_owned(),
        Stderr::File(_) => "file".to_owned(),
    }
}

/// What holds while it runs.
fn then(written: &Written) -> String {
    let keys = [
        Key::Keepalive,
        Key::Nodelay,
        Key::Timeout,
        Key::IdleTimeout,
        Key::FirstByteTimeout,
        Key::OnDisconnect,
        Key::Linger,
        Key::LingerTime,
        Key::StopTimeout,
        Key::Banner,
        Key::Cache,
    ];
    let holds = |key: Key| {
        keys.contains(&key)
            || ["limits.", "cgroup."]
                .iter()
                .any(|table| key.info().name.starts_with(table))
    };
    let mut words: Vec<String> = written
        .values
        .iter()
        .filter(|value| holds(value.key))
        .map(|value| format!("{} = {}", value.word, value.text))
        .collect();
    if !written.values.iter().any(|value| value.key == Key::Timeout) {
        words.push("no timeout".to_owned());
    }
    words.join("; ")
}

/// A word as it may be pasted.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,?[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped: String = word
        .chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    format!("'{escaped}'")
}
