//! One reader for each form of value (LANGUAGE 4.5): text in, typed value out.
//!
//! Invariant: pure; nothing here looks at the host. A reader that refuses says what to write instead.

pub mod address;
pub mod command;
pub mod duration;
pub mod hours;
pub mod mode;
pub mod percent;
pub mod prefix;
pub mod rate;
pub mod size;
pub mod template;

/// Why a value was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, to be said after the name of the key: "needs a unit".
    pub what: String,
    /// What to do.
    pub help: Option<String>,
    /// The text to write, when it is known; without quotes around it.
    pub instead: Option<String>,
}

impl Problem {
    /// A refusal.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: None,
            instead: None,
        }
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the text to write.
    #[must_use]
    pub fn instead(mut self, text: impl Into<String>) -> Self {
        self.instead = Some(text.into());
        self
    }
}

/// What the readers answer.
pub type Parsed<T> = Result<T, Problem>;
