//! Tables that the language does not have: what stands at the root of a file or directly under `[service]`.

use super::walker::Walker;
use super::{Value, Word};
use crate::config::diagnostic::{Code, Diagnostic, nearest, shown};
use crate::config::keys::Key;

impl Walker<'_> {
    pub(super) fn daemon_in_drop_in(&mut self, key: &Word<'_>) {
        self.report(
            Diagnostic::error(
                Code::WrongSection,
                self.at(key),
                "[daemon] can stand in the main file only",
            )
            .label("in an included file")
            .help("move its keys into the [daemon] section of the main file"),
        );
    }

    pub(super) fn no_table(&mut self, name: &str, key: &Word<'_>, value: &Value<'_>) {
        let title = if value.get_ref().is_array() && name == "service" {
            "services are tables with names, not a list"
        } else {
            "not a table"
        };
        let header = if name == "service" {
            "[service.NAME]"
        } else {
            name
        };
        self.report(
            Diagnostic::error(Code::Shape, self.at(key), format!("`{name}`: {title}"))
                .label("the name of the service is missing")
                .help(format!(
                    "tables are called {}",
                    if name == "service" {
                        header.to_owned()
                    } else {
                        format!("[{name}]")
                    }
                )),
        );
    }

    pub(super) fn no_service_table(&mut self, name: &str, key: &Word<'_>, value: &Value<'_>) {
        let place = self.at(key);
        let name = shown(name);
        let title = if value.get_ref().is_array() {
            format!("service `{name}` is defined as a list")
        } else {
            format!("`service.{name}` is not a table")
        };
        let problem = Diagnostic::error(Code::Shape, place, title).label("a service is a table");
        self.report(if Key::of_service(&name).is_some() {
            problem.help(format!(
                "the name of the service is missing: write [service.NAME] above `{name} = …`"
            ))
        } else {
            problem.help(format!(
                "write [service.{name}], or `{name} = {{ listen = …, … }}`"
            ))
        });
    }

    pub(super) fn unknown_root(
        &mut self,
        name: &str,
        key: &Word<'_>,
        value: &Value<'_>,
        is_table: bool,
    ) {
        let place = self.at(key);
        let near = match name.to_ascii_lowercase().as_str() {
            "services" | "server" | "servers" => Some("service"),
            "default" => Some("defaults"),
            "global" | "main" | "settings" | "oxinetd" => Some("daemon"),
            _ => nearest(name, ["service", "defaults", "daemon"]),
        };
        let name = shown(name);
        if is_table || value.get_ref().is_array() {
            let problem = Diagnostic::error(Code::Shape, place, format!("unknown table [{name}]"))
                .label("not a table of the language");
            self.report(match near {
                Some("service") => problem
                    .help("tables are called [service.NAME]")
                    .patch(place, "service"),
                Some(near) => problem
                    .help(format!("did you mean [{near}]?"))
                    .patch(place, near),
                None if is_table => problem
                    .help(format!(
                        "tables are called [service.NAME]: write [service.{name}]"
                    ))
                    .patch(place, format!("service.{name}")),
                None => problem.help(format!(
                    "tables are called [service.NAME]: write [service.{name}]"
                )),
            });
            return;
        }
        let problem = Diagnostic::error(
            Code::Shape,
            place,
            format!("`{name}` stands outside of any table"),
        )
        .label("whose is it?");
        self.report(if Key::of_service(&name).is_some() {
            problem.help(format!("write [service.NAME] above `{name} = …`"))
        } else if Key::of_daemon(&name).is_some() {
            problem.help(format!("write [daemon] above `{name} = …`"))
        } else {
            problem.help("a file has [daemon], [defaults] and [service.NAME]")
        });
    }
}
