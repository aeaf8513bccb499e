//! What a program would get, as text for people.

use super::{Plan, Word, Words};
use crate::launch::Connection;

impl Plan {
    /// The words of the command line, and the environment. What does not fit is left out: a launch would fail.
    pub fn told(&self, connection: &Connection<'_>) -> (Vec<String>, Vec<String>) {
        let mut words = Words::default();
        words.clear(self.text, self.pointers);
        for word in &self.arguments {
            let _ = match word {
                Word::Fixed(text) => {
                    words.word(|room| std::fmt::Write::write_str(room, &text.to_string_lossy()))
                }
                Word::Made(template) => words.template("", template, connection, &self.name),
            };
        }
        let arguments = words.texts();
        words.clear(self.text, self.pointers);
        for (name, template) in &self.made {
            let _ = words.template(name, template, connection, &self.name);
        }
        let _ = words.facts(connection, self.hidden);
        let fixed = self
            .fixed
            .iter()
            .map(|text| text.to_string_lossy().into_owned());
        (arguments, fixed.chain(words.texts()).collect())
    }
}
