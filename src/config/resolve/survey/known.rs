//! Programs that one meets under super-servers, and how they want to be started: with which word, and whether they take a
//! connection or the socket itself. What they do otherwise is to bind the port themselves, or to wait for ever.
//!
//! From their manuals, and peers-modern 5: a program is listed only where the wrong way never works.

use super::Survey;
use crate::config::keys::Key;
use crate::service::{Address, Piece, Run, Template};

/// What a program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// The connection.
    Connection,
    /// The socket, as `wait = true` gives it.
    Socket,
}

struct Program {
    name: &'static str,
    takes: Takes,
    /// It serves standard input only with one of these words.
    words: &'static [&'static str],
}

const fn connection(name: &'static str, words: &'static [&'static str]) -> Program {
    Program {
        name,
        takes: Takes::Connection,
        words,
    }
}

const fn socket(name: &'static str) -> Program {
    Program {
        name,
        takes: Takes::Socket,
        words: &[],
    }
}

const PROGRAMS: [Program; 21] = [
    connection("sshd", &["-i"]),
    connection("dropbear", &["-i", "--inetd"]),
    connection("rsync", &["--daemon"]),
    connection("git", &["--inetd", "--stdio"]),
    connection("git-daemon", &["--inetd"]),
    connection("in.fingerd", &[]),
    connection("in.telnetd", &[]),
    connection("in.rshd", &[]),
    connection("in.rlogind", &[]),
    connection("in.rexecd", &[]),
    connection("in.ftpd", &[]),
    connection("cvs", &["pserver", "kserver", "server"]),
    connection("svnserve", &["-i", "--inetd"]),
    connection("exim4", &["-bs"]),
    connection("exim", &["-bs"]),
    connection("sendmail", &["-bs"]),
    connection("nrpe", &["-i", "--inetd"]),
    connection("check_mk_agent", &[]),
    socket("in.talkd"),
    socket("in.ntalkd"),
    socket("in.comsat"),
];

pub(super) fn look(survey: &Survey<'_, '_, '_>) {
    let Run::Program(program) = &survey.service.run else {
        return;
    };
    let name = program.path.rsplit('/').next().unwrap_or_default();
    let words: Vec<&str> = program
        .arguments
        .iter()
        .filter_map(Template::literal)
        .collect();
    let Some(known) = PROGRAMS.iter().find(|known| known.name == name) else {
        return standalone(survey, name, &words);
    };
    if survey.service.wait && known.takes == Takes::Connection && streams(survey) {
        let what = format!("gives the listening socket to {name}, which takes a connection");
        survey.warn(
            Key::Wait,
            &what,
            "it does not accept by itself",
            "leave it out: one process for each connection",
        );
    }
    let has_specifier = |template: &Template| {
        template
            .0
            .iter()
            .any(|piece| matches!(piece, Piece::Specifier(_)))
    };
    let unsure = program.arguments.iter().any(has_specifier);
    if !known.words.is_empty() && !unsure && !words.iter().any(|word| known.words.contains(word)) {
        let word = known.words.first().unwrap_or(&"");
        let what = format!("starts {name} without `{word}`");
        survey.warn(
            Key::Command,
            &what,
            "then it does not serve its standard input",
            &format!("write `{word}` after it"),
        );
    }
}

/// The TFTP servers take the socket; with these words they make their own.
fn standalone(survey: &Survey<'_, '_, '_>, name: &str, words: &[&str]) {
    let own: &[&str] = match name {
        "in.tftpd" => &["-l", "-L", "--listen", "--foreground"],
        "atftpd" => &["--daemon"],
        _ => return,
    };
    if let Some(word) = words.iter().find(|word| own.contains(word)) {
        let what = format!("starts {name} with `{word}`");
        survey.warn(
            Key::Command,
            &what,
            "then it binds its port itself",
            "leave the word out",
        );
    }
}

fn streams(survey: &Survey<'_, '_, '_>) -> bool {
    !survey.service.listen.iter().any(Address::is_datagram)
}
