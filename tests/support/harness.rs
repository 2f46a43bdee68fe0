//! A test harness that speaks libtest's command line (so that cargo test and cargo-nextest both drive it) and that,
//! unlike libtest, can tell while it runs that tests cannot run here: they are listed and counted as ignored, and the
//! reason stands in one line.

// Shared by several test programs, each of which uses a part.
#![allow(dead_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A test: its name, what it does, and why it cannot run here, if so.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    pub(crate) missing: Option<String>,
}

/// A test that needs programs: each is named with the Debian package that has it.
pub(crate) fn with_tools(name: &'static str, tools: &[(&str, &str)], run: fn()) -> Test {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let there = |tool: &str| path.split(':').any(|folder| std::path::Path::new(folder).join(tool).is_file());
    let missing: Vec<String> = tools
        .iter()
        .filter(|(tool, _)| !there(tool))
        .map(|(tool, package)| format!("{tool} is not installed (apt-get install {package})"))
        .collect();
    Test { name, run, missing: (!missing.is_empty()).then(|| missing.join("; ")) }
}

/// libtest's exit status when a test failed.
const FAILED: u8 = 101;

#[derive(Default)]
struct Arguments {
    list: bool,
    ignored: bool,
    exact: bool,
    threads: Option<usize>,
    wanted: Vec<String>,
    skipped: Vec<String>,
}

impl Arguments {
    fn read() -> Self {
        let mut read = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let (name, mut value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (word, None),
            };
            let mut value = || value.take().or_else(|| words.next()).unwrap_or_default();
            match name.as_str() {
                "--list" => read.list = true,
                "--ignored" => read.ignored = true,
                "--exact" => read.exact = true,
                "--test-threads" => read.threads = value().parse().ok(),
                "--skip" => read.skipped.push(value()),
                "--format" | "--color" | "--logfile" | "-Z" => drop(value()),
                other if other.starts_with('-') => {}
                filter => read.wanted.push(filter.to_owned()),
            }
        }
        read
    }

    fn selects(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.wanted.is_empty() || self.wanted.iter().any(matches)) && !self.skipped.iter().any(matches)
    }
}

/// Lists or runs tests, as the command line says.
pub(crate) fn run_tests(tests: &[Test]) -> ExitCode {
    let arguments = Arguments::read();
    let selected: Vec<&Test> = tests.iter().filter(|test| arguments.selects(test.name)).collect();
    if arguments.list {
        // What is listed with --ignored is what a runner takes for ignored.
        for test in selected.iter().filter(|test| !arguments.ignored || test.missing.is_some()) {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    let (skipped, runnable): (Vec<&Test>, Vec<&Test>) =
        selected.into_iter().partition(|test| test.missing.is_some());
    for test in &skipped {
        println!("SKIPPED: {}: {}", test.name, test.missing.as_deref().unwrap_or_default());
    }
    let failed = if runnable.is_empty() { Vec::new() } else { run(&runnable, arguments.threads) };
    let (verdict, passed) = (if failed.is_empty() { "ok" } else { "FAILED" }, runnable.len() - failed.len());
    println!("\ntest result: {verdict}. {passed} passed; {} failed; {} ignored", failed.len(), skipped.len());
    for name in &failed {
        println!("    failed: {name}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// Runs tests, as many at a time as there are processors. Returns the names of those that failed.
fn run(tests: &[&Test], threads: Option<usize>) -> Vec<&'static str> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = threads.unwrap_or(processors).clamp(1, tests.len().max(1));
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    println!("\nrunning {} tests", tests.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(Test { name, run, .. }) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    // A test shares nothing with another that a panic could leave half done.
                    let passed = catch_unwind(AssertUnwindSafe(run)).is_ok();
                    let verdict = if passed { "ok" } else { "FAILED" };
                    println!("test {name} ... {verdict} ({:.1} s)", began.elapsed().as_secs_f64());
                    if !passed {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}
