//! A health check over HTTP (RFC 9112): 200 and a configured body for GET and HEAD of any path, then the end.
//!
//! Invariant: of a request nothing is kept but its method and where in it we are. What is not HTTP/1 to the letter, or
//! longer than [`LONGEST`], is answered by an error and the end.

use std::sync::Arc;

use super::text::Text;
use super::{Next, Stream, Texts};

/// The answer to GET, and its head alone for HEAD.
pub(super) fn answers(content: &str, body: &str) -> Texts {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let whole = format!("{head}{body}");
    vec![whole.into_bytes().into(), head.into_bytes().into()]
}

/// The body of `health`.
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
/// The body of `metrics`.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The protocol of one connection.
pub(super) struct Health {
    ok: Arc<[u8]>,
    ok_head: Arc<[u8]>,
    state: State,
    /// The first line so far: its method, and what fits of the rest.
    line: Line,
    length: usize,
}

enum State {
    /// In the first line.
    Line,
    /// In the lines after it: how many bytes of an empty line's CR LF have come; `None`: inside a line.
    Fields(Option<u8>),
    /// All is read.
    Answer(Text<Arc<[u8]>>),
    /// The client ended within its request.
    Ended,
}

impl Health {
    pub(super) fn new(texts: &Texts) -> Self {
        let text = |index: usize| texts.get(index).cloned().unwrap_or_else(|| Arc::from([]));
        Self {
            ok: text(0),
            ok_head: text(1),
            state: State::Line,
            line: Line::default(),
            length: 0,
        }
    }

    fn take(&mut self, byte: u8) {
        self.length += 1;
        let answer = match &mut self.state {
            State::Line => match self.line.take(byte) {
                Some(true) => {
                    self.state = State::Fields(Some(0));
                    None
                }
                Some(false) => Some(error("400 Bad Request")),
                None => None,
            },
            State::Fields(empty) => {
                *empty = match (*empty, byte) {
                    (Some(0), b'\r') => Some(1),
                    (Some(_), b'\n') => Some(2),
                    (None, b'\n') => Some(0),
                    _ => None,
                };
                (*empty == Some(2)).then(|| self.answer())
            }
            State::Answer(_) | State::Ended => return,
        };
        if let Some(answer) = answer {
            self.state = State::Answer(Text::new(answer));
        } else if self.length == LONGEST {
            self.state = State::Answer(Text::new(error("431 Request Header Fields Too Large")));
        }
    }

    fn answer(&self) -> Arc<[u8]> {
        match self.line.method() {
            b"GET" => Arc::clone(&self.ok),
            b"HEAD" => Arc::clone(&self.ok_head),
            _ => error("405 Method Not Allowed\r\nAllow: GET, HEAD"),
        }
    }
}

impl Stream for Health {
    fn next(&self) -> Next {
        match &self.state {
            State::Line | State::Fields(_) => Next::Read,
            State::Answer(text) => text.next(),
            State::Ended => Next::Done,
        }
    }

    fn on_input(&mut self, bytes: &mut [u8]) -> usize {
        for byte in bytes {
            self.take(*byte);
        }
        0
    }

    fn on_end(&mut self) {
        if matches!(self.state, State::Line | State::Fields(_)) {
            self.state = State::Ended;
        }
    }

    fn fill(&mut self, room: &mut [u8]) -> usize {
        match &mut self.state {
            State::Answer(text) => text.fill(room),
            State::Line | State::Fields(_) | State::Ended => 0,
        }
    }
}

/// `GET /path HTTP/1.1`, as it comes.
#[derive(Default)]
struct Line {
    method: [u8; METHOD],
    method_length: usize,
    /// 0: in the method, 1: in the target, 2: in the version.
    word: u8,
    /// Bytes of this word, of which the version has to match.
    length: usize,
}

impl Line {
    /// `Some(true)`: this byte ends a good line; `Some(false)`: this is no such line.
    fn take(&mut self, byte: u8) -> Option<bool> {
        self.length += 1;
        match (self.word, byte) {
            (0 | 1, b' ') if self.length > 1 => {
                self.word += 1;
                self.length = 0;
                None
            }
            (0, b'A'..=b'Z' | b'a'..=b'z' | b'-') => {
                let place = self.method.get_mut(self.method_length);
                self.method_length += 1;
                place.map(|place| *place = byte).is_none().then_some(false)
            }
            (1, b'!'..=b'~') => None,
            (2, b'0'..=b'9') if self.length == VERSION.len() + 1 => None,
            (2, b'\r') if self.length == VERSION.len() + 2 => None,
            (2, b'\n') if self.length > VERSION.len() + 1 => Some(true),
            (2, _) => (VERSION.get(self.length - 1) != Some(&byte)).then_some(false),
            _ => Some(false),
        }
    }

    fn method(&self) -> &[u8] {
        self.method.get(..self.method_length).unwrap_or_default()
    }
}

fn error(status: &str) -> Arc<[u8]> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
        .into()
}

/// The longest request, fields included.
const LONGEST: usize = 8 * 1024;
/// The longest method that is told from others.
const METHOD: usize = 16;
const VERSION: &[u8] = b"HTTP/1.";

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back when the request comes in pieces of `size`, and the client ends after it.
    fn ask(request: &str, size: usize) -> String {
        let mut health = Health::new(&answers(PLAIN, "fine\n"));
        for piece in request.as_bytes().chunks(size) {
            if health.next() == Next::Read {
                assert_eq!(health.on_input(&mut piece.to_vec()), 0);
            }
        }
        health.on_end();
        let mut said = Vec::new();
        while health.next() == Next::Write {
            let mut room = [0; 33];
            let length = health.fill(&mut room);
            said.extend_from_slice(&room[..length]);
        }
        assert_eq!(health.next(), Next::Done);
        String::from_utf8(said).unwrap()
    }

    #[test]
    fn get_has_a_body_and_head_has_none() {
        let get = "GET /healthz?deep=1 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
        for size in [1, 2, 3, 7, 100] {
            let answer = ask(get, size);
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("\r\nContent-Length: 5\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nfine\n"), "{answer}");
            let head = ask(&get.replace("GET", "HEAD"), size);
            assert_eq!(head, answer.strip_suffix("fine\n").unwrap());
        }
        for odd in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\n\n",
            "GET * HTTP/1.1\r\n\n",
        ] {
            assert!(ask(odd, 1).contains("200 OK"), "{odd:?}");
        }
    }

    #[test]
    fn other_requests_are_told_why_not() {
        let cases = [
            ("POST / HTTP/1.1\r\n\r\n", "405"),
            ("get / HTTP/1.1\r\n\r\n", "405"),
            ("GET / HTTP/2.0\r\n\r\n", "400"),
            ("GET / HTTP/1.12\r\n\r\n", "400"),
            ("GET / HTTP/1.\r\n\r\n", "400"),
            ("GET / http/1.1\r\n\r\n", "400"),
            ("GET  / HTTP/1.1\r\n\r\n", "400"),
            ("GET /\r\n\r\n", "400"),
            (" GET / HTTP/1.1\r\n\r\n", "400"),
            ("\r\nGET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1 \r\n\r\n", "400"),
            ("GET /\u{7f} HTTP/1.1\r\n\r\n", "400"),
            ("\x16\x03\x01\x02", "400"),
            ("ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n\r\n", "400"),
        ];
        for (request, status) in cases {
            for size in [1, 100] {
                let answer = ask(request, size);
                let start = format!("HTTP/1.1 {status} ");
                assert!(answer.starts_with(&start), "{request:?}: {answer}");
                assert!(answer.contains("Content-Length: 0\r\n"));
            }
        }
    }

    #[test]
    fn a_request_without_its_end_gets_no_answer() {
        for request in ["", "GET", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            assert_eq!(ask(request, 1), "");
        }
    }

    #[test]
    fn a_request_without_end_is_cut() {
        for start in ["GET /", "GET / HTTP/1.1\r\n"] {
            let long = format!("{start}{}", "x".repeat(LONGEST));
            assert!(ask(&long, 1000).starts_with("HTTP/1.1 431 "));
        }
    }
}
