//! A test harness that speaks libtest's command line (so that cargo test and cargo-nextest both drive it) and that,
//! unlike libtest, can tell while it runs that tests cannot run here: they are listed and counted as ignored, and the
//! reason stands in one line.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hactl::lab::{Backend, check_prerequisites};

/// The variable that asks for the tests in virtual machines when it is `1`.
const ASKED: &str = "HACTL_TEST_VM";

/// A test: its name and what it does.
pub(crate) type Test = (&'static str, fn());

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

/// Lists or runs tests in a lab of containers, as the command line says.
pub(crate) fn run_tests(tests: &[Test]) -> ExitCode {
    list_or_run(tests, missing(Backend::Container))
}

/// Lists or runs tests in a lab of virtual machines, where they were asked for: they take minutes of all processors.
pub(crate) fn run_vm_tests(tests: &[Test]) -> ExitCode {
    let asked = std::env::var_os(ASKED).is_some_and(|value| value == "1");
    let not_asked = (!asked).then(|| format!("they take long; `make test-vm` (or {ASKED}=1) runs them"));
    list_or_run(tests, not_asked.or_else(|| missing(Backend::Vm)))
}

/// What keeps tests from running here.
fn missing(backend: Backend) -> Option<String> {
    check_prerequisites(backend).err().map(|error| error.to_string().replace('\n', "; "))
}

fn list_or_run(tests: &[Test], missing: Option<String>) -> ExitCode {
    let arguments = Arguments::read();
    let selected: Vec<&Test> = tests.iter().filter(|(name, _)| arguments.selects(name)).collect();
    if arguments.list {
        // What is listed with --ignored is what a runner takes for ignored.
        for (name, _) in selected.iter().filter(|_| !arguments.ignored || missing.is_some()) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = missing {
        println!("SKIPPED: {} tests in the lab: {reason}", selected.len());
        println!("\ntest result: ok. 0 passed; 0 failed; {} ignored", selected.len());
        return ExitCode::SUCCESS;
    }
    let failed = run(&selected, arguments.threads);
    let (verdict, passed) = (if failed.is_empty() { "ok" } else { "FAILED" }, selected.len() - failed.len());
    println!("\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored", failed.len());
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
                while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    // A test shares nothing with another that a panic could leave half done.
                    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
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
