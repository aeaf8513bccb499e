//! Do the limits of all services fit into the descriptors that this process may have?

use std::rc::Rc;

use super::super::Context;
use crate::config::diagnostic::{Code, Diagnostic, shown};
use crate::config::surroundings::Surroundings;
use crate::service::{Budget, Service, Settings};

/// Looks at the table as a whole.
pub(in crate::config::resolve) fn table(
    context: &Context<'_>,
    settings: &Settings,
    services: &[Rc<Service>],
    surroundings: &dyn Surroundings,
) {
    let enabled = || services.iter().filter(|service| service.enabled);
    let open_files = surroundings.open_files();
    let listeners = enabled().map(|service| service.listen.len()).sum();
    let budget = Budget::new(open_files, listeners, enabled().map(AsRef::as_ref));
    let asked: Vec<(&str, u64)> = enabled()
        .filter_map(|service| {
            Some((
                service.name.as_str(),
                service.admission.max_connections?.get().into(),
            ))
        })
        .collect();
    let all: u64 = asked.iter().map(|(_, max)| max).sum();
    let of_daemon = settings
        .max_connections
        .map_or(u64::MAX, |max| max.get().into());
    let wanted = all.min(of_daemon);
    if wanted <= budget.room.into() {
        return;
    }
    let what = if of_daemon <= all {
        format!("`max_connections` in [daemon] asks for {wanted} connections")
    } else {
        format!("the services ask for {wanted} connections together")
    };
    let title = format!("{what}, and descriptors suffice for {}", budget.room);
    let largest = asked.iter().max_by_key(|(_, max)| max);
    let largest = largest.map_or_else(String::new, |(name, max)| {
        format!("; `{}` alone asks for {max}", shown(name))
    });
    let help = format!(
        "{wanted} x {} + {} = {} descriptors, and this process may open {open_files} (ulimit -Hn; LimitNOFILE= of the unit){largest}",
        budget.each,
        budget.besides,
        budget.needs(wanted),
    );
    context.report(Diagnostic::warning(Code::World, None, title).help(help));
}
