//! The embedded barclamps, as a user meets them.

use super::{Registry, run_golden};

#[test]
fn the_embedded_barclamps_load() {
    if let Err(errors) = Registry::embedded() {
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}", text.join("\n"));
    }
}

#[test]
fn the_golden_tests_of_the_embedded_barclamps_pass() {
    let registry = Registry::embedded().unwrap();
    let mut failures = String::new();
    for barclamp in registry.iter() {
        let cases = match run_golden(&registry, &barclamp.manifest.name) {
            Ok(cases) => cases,
            Err(errors) => panic!("{}: {errors:#?}", barclamp.manifest.name),
        };
        for case in cases.iter().filter(|case| !case.passed()) {
            for (path, diff) in case.differences() {
                failures.push_str(&format!("{}/{}: {path}\n{diff}\n", barclamp.manifest.name, case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
