//! The wait field and the user field, which every dialect reads in its own way.

use super::{Dialect, Traits};

/// `wait` (a single program for all clients), `nowait`, and the limits behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) single: bool,
    /// Starts of the service in a minute.
    pub(super) per_minute: Option<u32>,
    /// Children at once; `Some(0)` is unlimited.
    pub(super) children: Option<u32>,
    /// Starts from one source in a minute.
    pub(super) source_per_minute: Option<u32>,
    /// Children of one source at once.
    pub(super) source_children: Option<u32>,
}

/// Reads a wait field. An error is what the old inetd says about it.
pub(super) fn wait(text: &str, traits: Traits) -> Result<Wait, String> {
    let end = text.find(['.', ':', '/']).unwrap_or(text.len());
    let (word, limits) = text.split_at(end);
    let mut result = Wait {
        single: match word {
            "wait" => true,
            "nowait" => false,
            _ => return Err(format!("`{text}` is neither wait nor nowait")),
        },
        ..Wait::default()
    };
    let Some(separator) = limits.chars().next() else {
        return Ok(result);
    };
    let understood = match traits.dialect {
        Some(Dialect::FreeBsd) => separator == '/',
        Some(Dialect::NetBsd) => separator != '/',
        Some(_) => separator == '.',
        None => true,
    };
    if !understood {
        return Err(format!("`{text}`: this inetd knows no `{separator}` here"));
    }
    let numbers: Result<Vec<u32>, _> = limits[1..].split(separator).map(str::parse).collect();
    let numbers = numbers.map_err(|_| format!("`{text}`: a limit is no number"))?;
    match (separator, numbers.as_slice()) {
        ('/', [children, rest @ ..]) if rest.len() <= 2 => {
            result.children = Some(*children);
            result.source_per_minute = rest.first().copied();
            result.source_children = rest.get(1).copied();
        }
        ('.' | ':', [per_minute]) => result.per_minute = Some(*per_minute),
        _ => return Err(format!("`{text}` has too many limits")),
    }
    Ok(result)
}

/// Account, group and login class of a user field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) group: Option<String>,
    pub(super) class: Option<String>,
}

/// Reads a user field: `user`, `user:group`, `user.group`, `user[:group]/class`.
pub(super) fn user(text: &str, traits: Traits) -> User {
    let classes = matches!(traits.dialect, Some(Dialect::FreeBsd) | None);
    let (account, class) = match text.split_once('/') {
        Some((account, class)) if classes => (account, Some(class.to_owned())),
        _ => (text, None),
    };
    let separators: &[char] = match traits.dialect {
        Some(Dialect::FreeBsd) => &[':'],
        Some(Dialect::Busybox) => &['.', ':'],
        _ => &[':', '.'],
    };
    let split = separators.iter().find_map(|s| account.split_once(*s));
    match split {
        Some((user, group)) => User {
            name: user.to_owned(),
            group: Some(group.to_owned()),
            class,
        },
        None => User {
            name: account.to_owned(),
            group: None,
            class,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_field_means_what_the_dialect_says() {
        use Dialect::{Busybox, Debian, FreeBsd, NetBsd};
        let minute = |n| Wait {
            per_minute: Some(n),
            ..Wait::default()
        };
        let children = |c, s, p| Wait {
            children: Some(c),
            source_per_minute: s,
            source_children: p,
            ..Wait::default()
        };
        for (text, dialect, expected) in [
            ("nowait", Some(Debian), Ok(Wait::default())),
            ("nowait.40", Some(Debian), Ok(minute(40))),
            ("nowait.40", Some(Busybox), Ok(minute(40))),
            ("nowait.40", Some(FreeBsd), Err(())),
            ("nowait:40", Some(NetBsd), Ok(minute(40))),
            ("nowait:40", Some(Debian), Err(())),
            ("nowait/10", Some(FreeBsd), Ok(children(10, None, None))),
            (
                "nowait/10/10/5",
                Some(FreeBsd),
                Ok(children(10, Some(10), Some(5))),
            ),
            (
                "nowait/0/60",
                Some(FreeBsd),
                Ok(children(0, Some(60), None)),
            ),
            ("nowait/10", Some(NetBsd), Err(())),
            ("nowait/1/2/3/4", None, Err(())),
            ("nowait.x", None, Err(())),
            ("waut", None, Err(())),
            ("", None, Err(())),
        ] {
            let got = wait(text, Traits::of(dialect)).map_err(|_| ());
            assert_eq!(got, expected, "{text} {dialect:?}");
        }
        assert!(wait("wait", Traits::of(None)).unwrap().single);
    }

    #[test]
    fn the_user_field_too() {
        use Dialect::{Busybox, FreeBsd, Inetutils, OpenBsd};
        for (text, dialect, u, group, class) in [
            ("nobody", Some(OpenBsd), "nobody", None, None),
            ("tty.tty", Some(OpenBsd), "tty", Some("tty"), None),
            ("tty:tty", Some(Inetutils), "tty", Some("tty"), None),
            ("a.b:c", Some(Inetutils), "a.b", Some("c"), None),
            ("a.b:c", Some(Busybox), "a", Some("b:c"), None),
            ("a.b", Some(FreeBsd), "a.b", None, None),
            ("a:b/daemon", Some(FreeBsd), "a", Some("b"), Some("daemon")),
            ("root/daemon", None, "root", None, Some("daemon")),
        ] {
            let expected = User {
                name: u.to_owned(),
                group: group.map(str::to_owned),
                class: class.map(str::to_owned),
            };
            assert_eq!(
                user(text, Traits::of(dialect)),
                expected,
                "{text} {dialect:?}"
            );
        }
    }
}
