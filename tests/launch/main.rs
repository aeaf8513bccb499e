//! The launch path with real children. Its own `main`, because a child may share memory only with a process that has
//! one thread: libtest runs tests in threads. Prints what libtest prints. Arguments: words that a name must contain.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test tells its result on stdout and by its exit code"
)]

mod bench;
mod code;
mod descriptors;
mod environment;
mod failures;
mod fixtures;
mod private;
mod setup;
mod slots;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bench::{Bench, Test, open_descriptors};

const TESTS: [&[Test]; 7] = [
    descriptors::TESTS,
    environment::TESTS,
    setup::TESTS,
    failures::TESTS,
    private::TESTS,
    slots::TESTS,
    code::TESTS,
];

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut bench = Bench::new();
    let (mut failed, mut run) = (Vec::new(), 0);
    let first = open_descriptors();
    for (name, test) in TESTS.into_iter().flatten() {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        run += 1;
        bench.skipped = None;
        let result = catch_unwind(AssertUnwindSafe(|| {
            test(&mut bench);
            bench.guard(first);
        }));
        match (result, bench.skipped) {
            (Ok(()), None) => println!("test {name} ... ok"),
            (Ok(()), Some(why)) => println!("test {name} ... ignored, {why}"),
            (Err(_), _) => {
                println!("test {name} ... FAILED");
                failed.push(*name);
                bench.clean_up();
            }
        }
    }
    println!("\ntest result: {} of {run} failed {failed:?}", failed.len());
    std::process::exit(i32::from(!failed.is_empty()));
}
