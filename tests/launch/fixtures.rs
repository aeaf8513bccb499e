//! Services and clients with nothing set, and small readers of text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use oxinetd::service::{
    Address, Admission, Cgroup, Deadlines, Identity, Keepalive, LogSelection, OnDisconnect,
    OnRemove, Origin, OverLimit, Peer, PerSource, Piece, Preset, Process, Program, Protocol,
    RefuseWith, Run, Sandbox, Service, SocketOptions, Specifier, Stderr, Stdio, Template,
};

pub(crate) fn inet(address: &str) -> Peer {
    Peer::Inet(address.parse::<SocketAddr>().unwrap())
}

pub(crate) fn field(status: &str, name: &str) -> String {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap();
    line.trim().to_owned()
}

pub(crate) fn lines(text: &str) -> Vec<String> {
    let mut all = lines_in_order(text);
    all.sort();
    all
}

pub(crate) fn lines_in_order(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// `addr`, `port`, `service` and `id` are specifiers, anything else is text.
pub(crate) fn template(pieces: &[&str]) -> Template {
    Template(
        pieces
            .iter()
            .map(|piece| match *piece {
                "addr" => Piece::Specifier(Specifier::RemoteAddr),
                "port" => Piece::Specifier(Specifier::RemotePort),
                "service" => Piece::Specifier(Specifier::Service),
                "id" => Piece::Specifier(Specifier::Id),
                text => Piece::Text(text.to_owned()),
            })
            .collect(),
    )
}

pub(crate) fn user(uid: u32, gid: u32, groups: Vec<u32>) -> Identity {
    Identity {
        name: "tester".into(),
        uid,
        gid,
        groups,
        home: "/home/tester".into(),
        shell: "/bin/false".into(),
    }
}

pub(crate) fn sh(script: &str) -> Service {
    service(&["/bin/sh", "-c", script])
}

/// A service named `test` with nothing set.
#[allow(clippy::too_many_lines, reason = "a service has many fields")]
pub(crate) fn service(command: &[&str]) -> Service {
    Service {
        name: "test".into(),
        origin: Origin {
            file: PathBuf::from("test"),
            line: 1,
        },
        description: String::new(),
        enabled: true,
        listen: vec![Address::Inet {
            protocol: Protocol::Tcp,
            socket: "127.0.0.1:0".parse().unwrap(),
            dual_stack: false,
        }],
        run: Run::Program(Program {
            path: command[0].into(),
            argv0: command[0].rsplit('/').next().unwrap().into(),
            arguments: command[1..]
                .iter()
                .map(|word| Template::from(*word))
                .collect(),
        }),
        wait: false,
        process: Process {
            identity: None,
            working_directory: "/".into(),
            root_directory: None,
            umask: 0o22,
            nice: 0,
            env: Vec::new(),
            pass_env: Vec::new(),
            oom_score_adj: None,
            stdio: Stdio::Socket,
            stderr: Stderr::Null,
            limits: Vec::new(),
            sandbox: Sandbox {
                preset: Preset::None,
                read_only: Vec::new(),
                read_write: Vec::new(),
                hide: Vec::new(),
                network: true,
                capabilities: Vec::new(),
                allow_32bit: true,
            },
            cgroup: Cgroup::default(),
        },
        admission: Admission {
            allow: None,
            deny: Vec::new(),
            hours: Vec::new(),
            timezone: None,
            max_load: None,
            max_connections: None,
            max_per_source: PerSource::Half,
            exempt: Vec::new(),
            proxy_from: Vec::new(),
            source_prefix: (32, 64),
            rate: None,
            rate_per_source: None,
            over_limit: OverLimit::Queue,
            refuse_with: RefuseWith::Close,
            pause: None,
            refuse_message: None,
            penalty: None,
        },
        deadlines: Deadlines {
            timeout: None,
            idle: None,
            first_byte: None,
            on_disconnect: OnDisconnect::Ignore,
            linger: None,
            on_remove: OnRemove::Keep,
            linger_max: 0,
            stop: Duration::from_secs(5),
        },
        socket: SocketOptions {
            backlog: 128,
            bind_device: None,
            freebind: None,
            transparent: false,
            reuse_port: false,
            keepalive: Keepalive::Off,
            nodelay: false,
            defer_accept: None,
            dscp: None,
            mark: None,
            receive_buffer: None,
            send_buffer: None,
            owner: None,
            group: None,
            mode: 0o666,
        },
        banner: None,
        cache: None,
        proxy: None,
        transcript: None,
        log: LogSelection {
            start: true,
            exit: true,
            refuse: true,
        },
        log_tag: "test".into(),
        log_to: None,
    }
}
