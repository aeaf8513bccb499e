//! What the compiler made of the child.

use crate::bench::{Bench, Test};
use crate::fixtures::service;

pub(crate) const TESTS: &[Test] = &[("shared_child_is_raw_calls_only", disassembly)];

/// From its entry on, the code of a child that shares memory uses no thread-local and calls nothing but itself.
fn disassembly(bench: &mut Bench) {
    if cfg!(debug_assertions) || cfg!(not(target_arch = "x86_64")) {
        bench.skipped = Some("needs an optimized build for x86_64 (cargo test --release)");
        return;
    }
    if !std::fs::exists("/usr/bin/objdump").unwrap() {
        bench.skipped = Some("needs objdump");
        return;
    }
    let own = std::env::current_exe().unwrap();
    let text = bench.script(&service(&[
        "/usr/bin/objdump",
        "--disassemble",
        "--no-show-raw-insn",
        own.to_str().unwrap(),
    ]));
    let mut functions = std::collections::HashMap::new();
    for block in text.split("\n\n") {
        if let Some((_, rest)) = block.trim_start().split_once('<')
            && let Some((name, code)) = rest.split_once(">:\n")
        {
            functions.insert(name, code);
        }
    }
    let entry = *functions
        .keys()
        .find(|name| name.contains("launch5child7program"))
        .unwrap();
    let (mut seen, mut next, mut calls) = (vec![entry], vec![entry], 0);
    while let Some(name) = next.pop() {
        assert!(name.contains("6launch5child"), "{name} is reached");
        for line in functions[name].lines() {
            assert!(!line.contains("%fs"), "a thread-local in {name}: {line}");
            calls += usize::from(line.contains("syscall"));
            let Some((_, instruction)) = line.split_once('\t') else {
                continue;
            };
            if instruction.starts_with("call") || instruction.starts_with('j') {
                assert!(
                    !instruction.contains('*'),
                    "an indirect call in {name}: {line}"
                );
                // `<name+0x12>` is a place inside a function, `<name>` its start.
                let target = instruction
                    .split_once('<')
                    .unwrap()
                    .1
                    .trim_end()
                    .trim_end_matches('>');
                let target = target.split('+').next().unwrap();
                let target = *functions.get_key_value(target).unwrap().0;
                if !seen.contains(&target) {
                    seen.push(target);
                    next.push(target);
                }
            }
        }
    }
    assert!(
        calls > 25,
        "only {calls} system calls found: is this the child?"
    );
}
