//! Accounts: `user`, `group`, `supplementary_groups`, and what a daemon without root may say about them.
//!
//! Invariant: an identity is complete or there is none; a missing group never falls back to another one. Each name is
//! looked up once in a load.

use std::collections::HashMap;
use std::io;

use super::reader::{Item, Reader};
use crate::config::diagnostic::{Code, Diagnostic, nearest, shown};
use crate::config::keys::Key;
use crate::config::source::Place;
use crate::config::world::Account;
use crate::service::Identity;

/// Answers of the user database that this load has seen.
#[derive(Default)]
pub(super) struct Accounts {
    users: HashMap<String, Result<Option<Account>, String>>,
    groups: HashMap<String, Result<Option<u32>, String>>,
    memberships: HashMap<(String, u32), Vec<u32>>,
}

/// Who a service runs as.
#[derive(Clone, Debug)]
pub(super) enum Who {
    /// Nothing is changed.
    Daemon,
    /// This account.
    Account(Identity),
    /// An error was reported.
    Unknown,
}

/// The account of a service.
pub(super) fn identity(reader: &Reader<'_, '_>, service: Place) -> Who {
    if !reader.context.host.is_root() {
        unprivileged(reader);
        return Who::Daemon;
    }
    let Some(item) = reader.text_or_number(Key::User) else {
        if !reader.written(Key::User) {
            let title = format!("{} has no `user`", reader.owner);
            reader.report_missing(&[Key::User],
                Diagnostic::error(Code::Missing, service, title)
                    .label("needs `user`")
                    .help("add `user = \"nobody\"` here or in [defaults]; write `user = \"root\"` to mean root"),
            );
        }
        return Who::Unknown;
    };
    let Some(account) = account(reader, Key::User, &item) else {
        return Who::Unknown;
    };
    let group_item = reader.text_or_number(Key::Group);
    let gid = match &group_item {
        Some(item) => group(reader, Key::Group, item),
        None => (!reader.written(Key::Group)).then_some(account.gid),
    };
    let listed = reader.items(Key::SupplementaryGroups, true).map(|items| {
        let groups = items
            .iter()
            .filter_map(|item| group(reader, Key::SupplementaryGroups, item));
        groups.collect()
    });
    let Some(gid) = gid else {
        return Who::Unknown;
    };
    let groups = listed.unwrap_or_else(|| memberships(reader, &account, gid));
    Who::Account(Identity {
        name: account.name,
        uid: account.uid,
        gid,
        groups,
        home: account.home,
        shell: account.shell,
    })
}

/// The account of what the daemon itself serves: `oxinetd`, which no other software has, else `nobody`.
pub(super) fn of_daemon(reader: &Reader<'_, '_>) -> Who {
    let host = reader.context.host;
    if !host.is_root() {
        return Who::Daemon;
    }
    let known = |name| host.world.user(name).ok().flatten();
    match known("oxinetd").or_else(|| known("nobody")) {
        Some(account) => Who::Account(Identity {
            groups: vec![account.gid],
            name: account.name,
            uid: account.uid,
            gid: account.gid,
            home: account.home,
            shell: account.shell,
        }),
        None => Who::Account(Identity {
            name: "nobody".to_owned(),
            uid: 65534,
            gid: 65534,
            groups: Vec::new(),
            home: "/".to_owned(),
            shell: "/usr/sbin/nologin".to_owned(),
        }),
    }
}

/// Without root nobody else can be served; what the system's defaults say is passed over with a note.
fn unprivileged(reader: &Reader<'_, '_>) {
    let host = reader.context.host;
    let own_user = |item: Item| account(reader, Key::User, &item).map(|user| user.uid == host.euid);
    let own_group = |item: Item| group(reader, Key::Group, &item).map(|gid| gid == host.egid);
    let own = |key| reader.entry(key).is_some_and(|entry| !entry.inherited);
    let user = own(Key::User).then(|| reader.text_or_number(Key::User).and_then(own_user));
    let group = own(Key::Group).then(|| reader.text_or_number(Key::Group).and_then(own_group));
    // Setting any list of groups takes root.
    let groups = own(Key::SupplementaryGroups).then_some(Some(false));
    for (key, is_own) in [
        (Key::User, user),
        (Key::Group, group),
        (Key::SupplementaryGroups, groups),
    ] {
        let Some(entry) = reader.entry(key) else {
            continue;
        };
        match is_own {
            None => reader.report(
                Diagnostic::note(
                    Code::Privilege,
                    entry.key,
                    format!("`{}` of [defaults] is passed over", key.info().name),
                )
                .label("the daemon is not root, and serves as itself"),
            ),
            Some(Some(false)) => reader.report(
                Diagnostic::error(
                    Code::Privilege,
                    entry.place(),
                    format!("{} needs a daemon that is root", reader.subject(key)),
                )
                .label(format!(
                    "the daemon is uid {}, gid {}",
                    host.euid, host.egid
                ))
                .help(format!(
                    "leave `{}` out, or start oxinetd as root",
                    key.info().name
                )),
            ),
            Some(_) => {}
        }
    }
}

/// An account by name or number.
pub(super) fn account(reader: &Reader<'_, '_>, key: Key, item: &Item) -> Option<Account> {
    let cached = reader
        .context
        .accounts
        .borrow()
        .users
        .get(&item.text)
        .cloned();
    let world = reader.context.host.world;
    let answer = cached.unwrap_or_else(|| {
        let found = match number(&item.text) {
            Some(uid) => world
                .user_by_id(uid)
                .map(|known| Some(known.unwrap_or_else(|| nameless(uid)))),
            None => world.user(&item.text),
        };
        let found = found.map_err(|error| error.to_string());
        reader
            .context
            .accounts
            .borrow_mut()
            .users
            .insert(item.text.clone(), found.clone());
        found
    });
    settle(reader, key, item, answer, "user", || world.user_names())
}

/// An account without an entry: its group has the same number, its home is `/`.
fn nameless(uid: u32) -> Account {
    Account {
        name: uid.to_string(),
        uid,
        gid: uid,
        home: "/".to_owned(),
        shell: "/bin/sh".to_owned(),
    }
}

/// A group by name or number.
pub(super) fn group(reader: &Reader<'_, '_>, key: Key, item: &Item) -> Option<u32> {
    if let Some(gid) = number(&item.text) {
        return Some(gid);
    }
    let cached = reader
        .context
        .accounts
        .borrow()
        .groups
        .get(&item.text)
        .cloned();
    let world = reader.context.host.world;
    let answer = cached.unwrap_or_else(|| {
        let found = world.group(&item.text).map_err(|error| error.to_string());
        reader
            .context
            .accounts
            .borrow_mut()
            .groups
            .insert(item.text.clone(), found.clone());
        found
    });
    settle(reader, key, item, answer, "group", || world.group_names())
}

fn settle<T>(
    reader: &Reader<'_, '_>,
    key: Key,
    item: &Item,
    answer: Result<Option<T>, String>,
    kind: &str,
    names: impl Fn() -> Vec<String>,
) -> Option<T> {
    let error = |what: String| {
        Diagnostic::error(
            Code::Account,
            item.place,
            format!("{}: {what}", reader.subject(key)),
        )
    };
    match answer {
        Ok(Some(found)) => Some(found),
        Ok(None)
            if !item.text.is_empty() && item.text.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            let what = format!("`{}` is not an id", shown(&item.text));
            reader.report(error(what).help("write a number from 0 to 4294967294, or a name"));
            None
        }
        Ok(None) => {
            let names = names();
            let problem = error(format!("no {kind} is called `{}`", shown(&item.text)));
            reader.report(
                match nearest(&item.text, names.iter().map(String::as_str)) {
                    Some(near) => problem
                        .help(format!("did you mean `\"{near}\"`?"))
                        .patch(item.place, format!("\"{near}\"")),
                    None => problem.help(format!(
                        "write the name of a {kind} of this host, or a number"
                    )),
                },
            );
            None
        }
        Err(reason) => {
            reader.report(error(format!(
                "cannot look the {kind} `{}` up: {reason}",
                shown(&item.text)
            )));
            None
        }
    }
}

fn memberships(reader: &Reader<'_, '_>, account: &Account, gid: u32) -> Vec<u32> {
    let known = (account.name.clone(), gid);
    if let Some(groups) = reader.context.accounts.borrow().memberships.get(&known) {
        return groups.clone();
    }
    let nameless = number(&account.name) == Some(account.uid);
    let found: io::Result<Vec<u32>> = if nameless {
        Ok(vec![gid])
    } else {
        reader.context.host.world.groups_of(&account.name, gid)
    };
    let groups = found.unwrap_or_else(|error| {
        let place = reader.entry(Key::User).map(|entry| entry.place());
        let title = format!(
            "{}: cannot look up the groups of `{}`: {error}",
            reader.owner, account.name
        );
        reader.report(Diagnostic::error(Code::Account, place, title));
        Vec::new()
    });
    reader
        .context
        .accounts
        .borrow_mut()
        .memberships
        .insert(known, groups.clone());
    groups
}

/// A plain decimal id below the one that means "none".
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}
