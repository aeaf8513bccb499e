//! Which files make a table, and how their problems are told.

use std::path::Path;

use super::{ECHO, services, short, world};
use crate::config::diagnostic::{Format, Severity};
use crate::config::fake::FakeWorld;
use crate::config::{MAIN_FILE, Main, load};
use crate::service::UnixName;

#[test]
fn without_a_file_the_shipped_table_is_served() {
    let world = FakeWorld::default();
    let loaded = load(&Main::Default, &world.host(0));
    assert!(loaded.embedded);
    let [echo] = services(&loaded)[..] else {
        panic!()
    };
    assert_eq!(
        echo.process.identity.as_ref().map(|identity| identity.uid),
        Some(65534)
    );
    let printed: Vec<String> = echo.listen.iter().map(ToString::to_string).collect();
    assert_eq!(printed, ["tcp 127.0.0.1:7007", "tcp [::1]:7007"]);
    assert_eq!(
        (echo.origin.file.as_path(), echo.origin.line),
        (Path::new("<embedded>"), 6)
    );
    let loaded = load(&Main::Default, &world.host(7));
    assert_eq!(services(&loaded)[0].process.identity, None);
    assert_eq!(loaded.report.count(Severity::Note), 1, "{}", short(&loaded));
    let control = loaded.table.unwrap().settings.control;
    assert_eq!(
        control,
        Some(UnixName::Path("/run/user/7/oxinetd.sock".into()))
    );
}

#[test]
fn a_named_file_must_be_there() {
    let world = FakeWorld::default();
    let loaded = load(&Main::Named(Path::new("/no.toml")), &world.host(0));
    assert_eq!(
        short(&loaded),
        "error: cannot read /no.toml: no such file or directory\n"
    );
}

#[test]
fn files_load_in_name_order_and_mask_each_other() {
    let service = |name: &str, port: u16| format!("[service.{name}]\nlisten = {port}\n{ECHO}");
    let (main, a_lib, a_etc, b, c, d) = (
        format!(
            "[defaults]\nuser = \"git\"\ntimeout = \"1s\"\n{}",
            service("main", 1)
        ),
        service("hidden", 2),
        service("a", 3),
        format!("[defaults]\ntimeout = \"2s\"\n{}", service("b", 4)),
        service("c", 5),
        service("d", 6),
    );
    let mut world = world(&[
        (MAIN_FILE, &main),
        ("/usr/lib/oxinetd.d/a.toml", &a_lib),
        ("/etc/oxinetd.d/a.toml", &a_etc),
        ("/usr/lib/oxinetd.d/b.toml", &b),
        ("/usr/lib/oxinetd.d/c.toml", &c),
        ("/etc/oxinetd.d/d.toml", &d),
        ("/etc/oxinetd.d/e.toml~", "["),
        ("/etc/oxinetd.d/.f.toml", "["),
    ]);
    world.masks.push("/etc/oxinetd.d/c.toml".into());
    let loaded = load(&Main::Default, &world.host(0));
    let found = services(&loaded);
    let names: Vec<&str> = found.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["main", "a", "b", "d"]);
    let timeouts: Vec<u64> = found
        .iter()
        .map(|service| service.deadlines.timeout.unwrap().as_secs())
        .collect();
    assert_eq!(
        timeouts,
        [1, 1, 2, 1],
        "the defaults of a drop-in hold in it alone"
    );
    assert_eq!(loaded.table.as_ref().unwrap().files.len(), 4);
}

#[test]
fn problems_across_files_show_both_places() {
    let world = world(&[
        (
            "/c/main.toml",
            "[daemon]\ninclude = [\"d/*.toml\", \"none.d/*.toml\"]\n[defaults]\nuser = \"git\"\n[service.a]\nlisten = 79\nbuiltin = \"echo\"\n",
        ),
        (
            "/c/d/x.toml",
            "[daemon]\nlog_to = \"auto\"\n[service.a]\nlisten = 80\nbuiltin = \"echo\"\n[service.b]\nlisten = \"*:79\"\nbuiltin = \"echo\"\n",
        ),
    ]);
    let loaded = load(&Main::Named(Path::new("/c/main.toml")), &world.host(0));
    assert_eq!(
        short(&loaded),
        "/c/d/x.toml:1:2: error: [daemon] can stand in the main file only (move its keys into the [daemon] section of the main file)\n\
         /c/d/x.toml:3:10: error: service `a` is defined twice (rename one of them; a file of the same name in a later directory of `include` replaces a whole file)\n\
         /c/d/x.toml:7:10: error: two services want tcp *:79 (bind one of them to a single address, or set `enabled = false`)\n"
    );
    let human = loaded.report.render(Format::Human { color: false });
    assert!(
        human.contains("::: /c/main.toml:5:10") && human.contains("::: /c/main.toml:6:10"),
        "{human}"
    );
}

#[test]
fn an_included_file_that_is_named_must_be_there() {
    let world = world(&[(MAIN_FILE, "[daemon]\ninclude = \"x.toml\"\n")]);
    let loaded = load(&Main::Default, &world.host(0));
    assert_eq!(
        short(&loaded),
        "/etc/oxinetd.toml:2:11: error: cannot read /etc/x.toml: no such file or directory\n"
    );
}
