//! Which tests in a lab can run here.

use std::process::ExitCode;

use hactl::lab::{Backend, check_prerequisites};

use super::harness;

/// The variable that asks for the tests in virtual machines when it is `1`.
const ASKED: &str = "HACTL_TEST_VM";
/// The same for those on Debian 13.
const DEBIAN_13_ASKED: &str = "HACTL_TEST_VM_TRIXIE";

/// A test in a lab: its name and what it does.
pub(crate) type Test = (&'static str, fn());

/// Lists or runs tests in a lab of containers, as the command line says.
pub(crate) fn run_tests(tests: &[Test]) -> ExitCode {
    list_or_run(tests, missing(Backend::Container))
}

/// The same, with others that run only when they were asked for: each with the reason why it was not.
pub(crate) fn run_tests_and(tests: &[Test], asked: &[(Test, Option<String>)]) -> ExitCode {
    let missing = missing(Backend::Container);
    let always = tests.iter().map(|test| (test, None));
    let all = always.chain(asked.iter().map(|(test, not_asked)| (test, not_asked.clone())));
    let all: Vec<harness::Test> = all
        .map(|((name, run), not_asked)| harness::Test {
            name,
            run: *run,
            missing: not_asked.or_else(|| missing.clone()),
        })
        .collect();
    harness::run_tests(&all)
}

/// Lists or runs tests in a lab of virtual machines, where they were asked for: they take minutes of all processors. Those of
/// Debian 13 have to be asked for by themselves: they need another image, which takes minutes more to build.
pub(crate) fn run_vm_tests(tests: &[Test], of_debian_13: &[Test]) -> ExitCode {
    let missing = missing(Backend::Vm);
    let gated = |tests: &[Test], variable, command| {
        let asked = std::env::var_os(variable).is_some_and(|value| value == "1");
        let not_asked = (!asked).then(|| format!("they take long; `{command}` (or {variable}=1) runs them"));
        let missing = not_asked.or_else(|| missing.clone());
        tests.iter().map(|(name, run)| harness::Test { name, run: *run, missing: missing.clone() }).collect()
    };
    let mut all: Vec<harness::Test> = gated(tests, ASKED, "make test-vm");
    all.extend::<Vec<_>>(gated(of_debian_13, DEBIAN_13_ASKED, "make test-vm-trixie"));
    harness::run_tests(&all)
}

/// What keeps tests from running here.
fn missing(backend: Backend) -> Option<String> {
    check_prerequisites(backend).err().map(|error| error.to_string().replace('\n', "; "))
}

fn list_or_run(tests: &[Test], missing: Option<String>) -> ExitCode {
    let test = |(name, run): &Test| harness::Test { name, run: *run, missing: missing.clone() };
    harness::run_tests(&tests.iter().map(test).collect::<Vec<_>>())
}
