//! Help is a promise: it changes only on purpose. `SNAPSHOTS=overwrite` writes the present text.

use hactl::cli;

use super::executable::run;

/// Every command has help that goes to stdout, names its usage and exits with 0.
#[test]
fn every_verb_has_help() {
    let mut names: Vec<Vec<String>> = Vec::new();
    paths(&cli::command(), &mut Vec::new(), &mut names);
    assert!(names.len() > 2, "{names:?}");
    for name in names {
        let mut arguments: Vec<&str> = name.iter().map(String::as_str).collect();
        arguments.push("--help");
        let ran = run(&arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.contains("Usage: hactl"), "{arguments:?}: {}", ran.stdout);
        assert_eq!(ran.stderr, "", "{arguments:?}");
    }
}

fn paths(command: &clap::Command, above: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    found.push(above.clone());
    for verb in command.get_subcommands() {
        above.push(verb.get_name().to_owned());
        paths(verb, above, found);
        above.pop();
    }
}

/// The definition is sound: no flag twice, every reference resolved.
#[test]
fn the_definition_is_sound() {
    cli::command().debug_assert();
}

#[test]
fn the_overview_is_as_documented() {
    snapbox::assert_data_eq!(run(&["-h"]).stdout, snapbox::file!["../fixtures/cli/overview.txt"]);
}

#[test]
fn the_exit_codes_in_the_help_are_the_ones_in_the_code() {
    let help = run(&["--help"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for (code, _) in cli::ExitCode::MEANINGS {
        let number = code.number();
        assert!(help.contains(&format!(" {number} ")), "exit code {number} is not in: {help}");
    }
}

#[test]
fn the_version_is_the_package_s() {
    let ran = run(&["--version"]);
    assert_eq!((ran.code, ran.stdout), (Some(0), format!("hactl {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn completion_scripts_and_manual_pages_come_from_the_same_definition() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).stdout;
        assert!(script.contains("completions") && script.contains("color"), "{shell}: {script}");
    }
    let page = run(&["man"]).stdout;
    assert!(page.contains(".TH hactl 1") && page.contains("EXIT STATUS"), "{page}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ran = run(&["man", "-o", folder.path().to_str().expect("UTF-8")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(folder.path().join("hactl-completions.1").exists());
}
