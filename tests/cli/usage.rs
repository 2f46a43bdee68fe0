//! Mistakes on the command line: exit code 3, a message on stderr, nothing on stdout.

use super::executable::run;

#[test]
fn mistakes_are_usage_errors() {
    for mistake in [
        &["conquer"][..],
        &["--color", "sometimes", "man"],
        &["man", "--no-such-flag"],
        &["completions", "tcsh"],
        &["-q", "-v", "man"],
        &[],
    ] {
        let ran = run(mistake);
        assert_eq!(ran.code, Some(3), "{mistake:?}");
        assert_eq!(ran.stdout, "", "{mistake:?}");
        assert!(ran.stderr.contains("--help"), "{mistake:?}: {}", ran.stderr);
    }
}

#[test]
fn a_mistyped_verb_gets_a_suggestion() {
    let ran = run(&["complections"]);
    assert!(ran.stderr.contains("completions"), "{}", ran.stderr);
}

#[test]
fn a_folder_that_cannot_be_written_is_a_failure_that_names_it() {
    let ran = run(&["man", "-o", "/proc/no/such/folder"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("error: cannot create /proc/no/such/folder: "), "{}", ran.stderr);
}
