//! Addresses that come after the daemon: shown while they wait, served when they are there.

use std::process::Command;

use crate::harness::{Builder, find, in_own_network, lacks, lacks_root, run, talk, text};

fn ip(words: &str) {
    let mut command = Command::new(find("ip").unwrap());
    let output = run(command.args(words.split(' ')));
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn address_that_comes_is_served_at_once() {
    if lacks_root() || lacks(&["ip"]) {
        return;
    }
    in_own_network(|| {
        let late =
            "[service.late]\nlisten = \"192.0.2.1:79\"\nfreebind = false\nbuiltin = \"echo\"\n";
        let here = "[service.here]\nlisten = \"127.0.0.1:79\"\nbuiltin = \"echo\"\n";
        let mut daemon = Builder::new()
            .controlled()
            .table(&format!("{late}{here}"))
            .trouble("ERROR: late tcp 192.0.2.1:79: bind: Cannot assign requested address")
            .start();
        assert_eq!(
            talk("127.0.0.1:79".parse().unwrap(), b"others serve"),
            "others serve"
        );
        // The pauses grow: by now the next attempt is further away than the answer to a change may take.
        let mut status = String::new();
        crate::harness::until("a long pause", crate::harness::PATIENCE, || {
            let output = daemon.ask(&["status"]);
            assert_eq!(output.status.code(), Some(1));
            status = text(&output);
            status.contains(", 8s left")
        });
        let row = "x late     tcp 192.0.2.1:79  failing: tcp 192.0.2.1:79: bind: Cannot assign requested address, 8s left";
        assert!(status.contains(row), "{status}");
        let end = daemon.log_end();
        let told = std::time::Instant::now();
        ip("address add 192.0.2.1/32 dev lo");
        daemon.expect_from(end, &["LISTEN: late tcp 192.0.2.1:79"]);
        assert!(
            told.elapsed().as_secs() < 7,
            "not by a retry: {:?}",
            told.elapsed()
        );
        assert_eq!(talk("192.0.2.1:79".parse().unwrap(), b"late"), "late");
        assert_eq!(daemon.ask(&["status", "-q"]).status.code(), Some(0));
        daemon.rebase();
        // Nobody waits: changes are not listened to.
        ip("address add 192.0.2.2/32 dev lo");
        daemon.quiet();
    });
}
