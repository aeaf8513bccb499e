//! The samples in `etc/oxinetd.d`: each as it is shipped but for `enabled`, on its original port, with its real program
//! and a real client.
//!
//! Not run, for want of a package: `clustercheck`, `checkmk`, `munin` and `gemini`.

use std::fs;

use crate::harness::{Builder, Daemon, lacks_packages, lacks_root, on_own_host, shell};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/oxinetd.d");

/// A sample, and how to see that it works.
struct Sample {
    /// The file without its ending.
    file: &'static str,
    /// Those of its services that are switched on.
    services: &'static [&'static str],
    packages: &'static [&'static str],
    /// What its comment says that it needs, as a script; SAMPLE there is the file.
    needs: &'static str,
    /// A client, as a script.
    client: &'static str,
    /// What that prints, among other things.
    answer: &'static str,
    /// Words of trouble in the log that are normal.
    trouble: &'static str,
}

/// Replaced by each sample where it needs more.
const PLAIN: Sample = Sample {
    file: "",
    services: &[],
    packages: &[],
    needs: "",
    client: "",
    answer: "",
    trouble: "\u{1}",
};

impl Sample {
    fn run(self) {
        if lacks_root() || lacks_packages(self.packages) {
            return;
        }
        on_own_host(move || {
            let sample = format!("{SHIPPED}/{}.toml", self.file);
            shell(&self.needs.replace("SAMPLE", &sample));
            let _daemon = self.start();
            let said = shell(self.client);
            assert!(said.contains(self.answer), "{}: {said}", self.file);
        });
    }

    /// The daemon with the sample as a drop-in beside the shipped main file.
    fn start(&self) -> Daemon {
        let text = fs::read_to_string(format!("{SHIPPED}/{}.toml", self.file)).unwrap();
        Builder::new()
            .drop_in(self.file, &switched_on(&text, self.services))
            .trouble(self.trouble)
            .start()
    }
}

/// The text with these services enabled.
fn switched_on(text: &str, services: &[&str]) -> String {
    let mut on = false;
    let mut found = 0;
    let lines = text.lines().map(|line| {
        if let Some(name) = line.strip_prefix("[service.") {
            on = services.contains(&name.trim_end_matches(']'));
            found += usize::from(on);
        }
        if on && line == "enabled = false" {
            "enabled = true\n".to_owned()
        } else {
            format!("{line}\n")
        }
    });
    let text = lines.collect();
    assert_eq!(found, services.len(), "services of the sample");
    text
}

#[test]
fn every_sample_is_off_and_says_what_it_needs() {
    for entry in fs::read_dir(SHIPPED).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let services = text.matches("\n[service.").count();
        assert_eq!(
            services,
            text.matches("\nenabled = false\n").count(),
            "{path:?}"
        );
        for word in ["#:schema ", "# Needs: ", "# Limits: "] {
            assert!(text.contains(word), "{path:?} has no {word:?}");
        }
    }
}

#[test]
fn finger() {
    Sample {
        file: "finger",
        services: &["finger"],
        packages: &["fingerd", "finger"],
        client: "finger root@127.0.0.1",
        answer: "Login: root",
        ..PLAIN
    }
    .run();
}

#[test]
fn gopher() {
    Sample {
        file: "gopher",
        services: &["gopher"],
        packages: &["gophernicus"],
        needs: "mkdir /srv/gopher; echo 'in the hole' >/srv/gopher/text.txt",
        client: "curl -s gopher://127.0.0.1/0/text.txt; curl -s gopher://127.0.0.1/",
        answer: "in the hole",
        ..PLAIN
    }
    .run();
}

#[test]
fn ident() {
    Sample {
        file: "ident",
        services: &["ident"],
        packages: &["oidentd"],
        client: "python3 -c '
import socket
s = socket.create_connection((\"127.0.0.1\", 113), 10)
s.sendall(b\"%d, 113\\r\\n\" % s.getsockname()[1])
print(s.makefile().readline())'",
        answer: "USERID",
        ..PLAIN
    }
    .run();
}

#[test]
fn web_sites() {
    Sample {
        file: "http",
        services: &["http", "http-busybox"],
        packages: &["micro-httpd", "busybox"],
        needs: "mkdir /srv/www; echo 'plain file' >/srv/www/a.txt",
        client: "curl -sS http://127.0.0.1/a.txt >/srv/1; curl -sS http://127.0.0.1:8080/a.txt >/srv/2; cat /srv/1 /srv/2",
        answer: "plain file\nplain file\n",
        ..PLAIN
    }
    .run();
}

#[test]
fn tls_in_front_of_a_web_site() {
    Sample {
        file: "stunnel",
        services: &["https"],
        packages: &["micro-httpd", "stunnel4"],
        needs: "mkdir -p /srv/www /etc/stunnel; echo 'plain file' >/srv/www/a.txt
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout /srv/key -out /srv/cert 2>/dev/null
            cat /srv/key /srv/cert >/etc/ssl/private/site.pem; chmod 711 /etc/ssl/private
            chgrp www-data /etc/ssl/private/site.pem; chmod 640 /etc/ssl/private/site.pem
            sed -n '/^#     /s/^#     //p' SAMPLE >/etc/stunnel/oxinetd-http.conf",
        client: "curl -sSk https://127.0.0.1/a.txt",
        answer: "plain file",
        ..PLAIN
    }
    .run();
}

#[test]
fn rsync() {
    Sample {
        file: "rsync",
        services: &["rsync"],
        packages: &["rsync"],
        needs: "mkdir /srv/files; echo 'a file' >/srv/files/one; chmod 755 /srv/files
            printf 'log file = /dev/null\n[files]\npath = /srv/files\n' >/etc/rsyncd.conf",
        client: "rsync -r rsync://127.0.0.1/files/ /srv/copy; cat /srv/copy/one",
        answer: "a file",
        ..PLAIN
    }
    .run();
}

#[test]
fn git() {
    Sample {
        file: "git",
        services: &["git"],
        packages: &["git"],
        needs: "export GIT_CONFIG_GLOBAL=/dev/null; mkdir /srv/git; cd /srv/git
            git init -q -b main work; cd work; git config user.name t; git config user.email t@t
            echo content >file; git add file; git commit -q -m one; cd ..; git clone -q --bare work one.git
            rm -r work; chown -R nobody /srv/git",
        client: "git clone -q git://127.0.0.1/one.git /srv/clone; cat /srv/clone/file",
        answer: "content",
        ..PLAIN
    }
    .run();
}

#[test]
fn cvs_pserver() {
    Sample {
        file: "cvs",
        services: &["cvspserver"],
        packages: &["cvs"],
        needs: "cvs -d /srv/cvs init; echo 'anonymous::nobody' >/srv/cvs/CVSROOT/passwd; chown -R nobody /srv/cvs",
        client: "cvs -d :pserver:anonymous@127.0.0.1:/srv/cvs co -p CVSROOT/modules",
        answer: "Three different line formats are valid",
        ..PLAIN
    }
    .run();
}

#[test]
fn svnserve() {
    Sample {
        file: "svn",
        services: &["svn"],
        packages: &["subversion"],
        needs: "mkdir /srv/svn; svnadmin create /srv/svn/one; chown -R nobody /srv/svn",
        client: "svn info svn://127.0.0.1/one",
        answer: "Revision: 0",
        ..PLAIN
    }
    .run();
}

/// Host keys of OpenSSH, a key for root, and its client without questions.
const KEYS: &str = "mkdir -p -m 755 /run/sshd; mkdir -m 700 -p /root/.ssh
    getent passwd sshd >/dev/null || echo 'sshd:x:71:65534::/run/sshd:/usr/sbin/nologin' >>/etc/passwd
    cp /usr/share/openssh/sshd_config /etc/ssh; mkdir -p /etc/dropbear
    ssh-keygen -A >/dev/null; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id; cp /root/.ssh/id.pub /root/.ssh/authorized_keys
    mkdir -p /etc/tinyssh; rm -rf /etc/tinyssh/sshkeydir";

#[test]
fn openssh() {
    Sample {
        file: "ssh",
        services: &["ssh"],
        packages: &["openssh-server", "openssh-client"],
        needs: KEYS,
        client: "ssh -q -i /root/.ssh/id -o BatchMode=yes -o StrictHostKeyChecking=no 127.0.0.1 echo in, '$SSH_CLIENT'",
        answer: "127.0.0.1 ",
        ..PLAIN
    }
    .run();
}

#[test]
fn dropbear() {
    Sample {
        file: "dropbear",
        services: &["dropbear"],
        packages: &["dropbear-bin", "openssh-server", "openssh-client"],
        needs: KEYS,
        client: "ssh -q -p 2222 -i /root/.ssh/id -o BatchMode=yes -o StrictHostKeyChecking=no 127.0.0.1 echo in, '$SSH_CLIENT'",
        answer: "127.0.0.1 ",
        ..PLAIN
    }
    .run();
}

#[test]
fn tinyssh() {
    let needs = Box::leak(
        format!("{KEYS}; tinysshd-makekey /etc/tinyssh/sshkeydir >/dev/null").into_boxed_str(),
    );
    Sample {
        file: "tinyssh",
        services: &["tinyssh"],
        packages: &["tinysshd", "openssh-server", "openssh-client"],
        needs,
        client: "ssh -q -p 2223 -i /root/.ssh/id -o BatchMode=yes -o StrictHostKeyChecking=no 127.0.0.1 echo in",
        answer: "in\n",
        ..PLAIN
    }
    .run();
}

#[test]
fn telnet() {
    Sample {
        file: "telnet",
        services: &["telnet"],
        packages: &["inetutils-telnetd", "inetutils-telnet"],
        client: "{ for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.3; grep -q login: /srv/out && break; done; } |
            inetutils-telnet 127.0.0.1 >/srv/out 2>&1 || true; cat /srv/out",
        answer: "login:",
        ..PLAIN
    }
    .run();
}

#[test]
fn ftp() {
    Sample {
        file: "ftp",
        services: &["ftp"],
        packages: &["vsftpd"],
        needs: "mkdir -p /srv/ftp /run/vsftpd/empty; echo 'by ftp' >/srv/ftp/file
            getent passwd ftp >/dev/null || echo 'ftp:x:72:65534::/srv/ftp:/usr/sbin/nologin' >>/etc/passwd
            printf '%s\n' listen=NO listen_ipv6=NO anonymous_enable=YES anon_root=/srv/ftp >/etc/vsftpd.conf",
        client: "curl -sS ftp://127.0.0.1/file",
        answer: "by ftp",
        ..PLAIN
    }
    .run();
}

#[test]
fn nrpe() {
    Sample {
        file: "nrpe",
        services: &["nrpe"],
        packages: &["nagios-nrpe-server", "nagios-nrpe-plugin"],
        needs: "echo 'nagios:x:73:65534::/:/usr/sbin/nologin' >>/etc/passwd; echo 'nagios:x:73:' >>/etc/group",
        client: "/usr/lib/nagios/plugins/check_nrpe -H 127.0.0.1",
        answer: "NRPE v",
        ..PLAIN
    }
    .run();
}

#[test]
fn haproxy_agent() {
    Sample {
        file: "haproxy-agent",
        services: &["haproxy-agent"],
        client: "nc -N 127.0.0.1 9707 </dev/null",
        answer: "up ",
        ..PLAIN
    }
    .run();
}

#[test]
fn tang() {
    Sample {
        file: "tang",
        services: &["tang"],
        packages: &["tang"],
        needs: "echo '_tang:x:74:65534::/:/usr/sbin/nologin' >>/etc/passwd; mkdir -p /var/lib/tang
            /usr/libexec/tangd-keygen /var/lib/tang; chown -R _tang /var/lib/tang",
        client: "curl -sS http://127.0.0.1:9090/adv",
        answer: "\"payload\"",
        ..PLAIN
    }
    .run();
}

#[test]
fn distcc() {
    Sample {
        file: "distcc",
        services: &["distcc"],
        packages: &["distcc"],
        needs: "getent passwd distccd >/dev/null || echo 'distccd:x:75:65534::/:/usr/sbin/nologin' >>/etc/passwd
            mkdir -p /usr/lib/distcc; ln -sf ../../bin/distcc \"/usr/lib/distcc/$(gcc -dumpmachine)-gcc\"
            echo 'int one(void) { return 1; }' >/srv/one.c",
        client: "cd /srv; mkdir d; DISTCC_HOSTS=127.0.0.1 DISTCC_FALLBACK=0 DISTCC_DIR=/srv/d distcc gcc -c one.c -o one.o; nm one.o",
        answer: "T one",
        ..PLAIN
    }
    .run();
}

/// A program of `wait`: it gets the socket, answers from ports of its own, and lives on for the next file.
fn tftp(services: &'static [&'static str], packages: &'static [&'static str]) {
    if lacks_root() || lacks_packages(packages) {
        return;
    }
    on_own_host(move || {
        shell(
            "mkdir -p /srv/tftp
            seq 100000 >/srv/tftp/numbers; echo small >/srv/tftp/small; chmod -R a+rX /srv",
        );
        let sample = Sample {
            file: "tftp",
            services,
            ..PLAIN
        };
        let daemon = sample.start();
        let said = shell(
            "curl -sS -m 30 tftp://127.0.0.1/numbers | cmp - /srv/tftp/numbers
            curl -sS -m 30 tftp://127.0.0.1/small",
        );
        assert_eq!(said, "small\n");
        daemon.expect(&[&format!("START: {} ", services[0])]);
        assert_eq!(daemon.count(&["START: "]), 1, "one for both files");
        // It would wait for more, for minutes.
        for owner in daemon.process().children() {
            owner.signal(nix::sys::signal::Signal::SIGTERM);
        }
        daemon.quiet();
    });
}

#[test]
fn tftp_hpa() {
    tftp(&["tftp"], &["tftpd-hpa"]);
}

#[test]
fn atftp() {
    tftp(&["tftp-atftpd"], &["atftpd"]);
}
