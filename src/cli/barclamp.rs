//! `hactl barclamp list|show|new|test`: the catalogue, the attributes of one, a scaffold, its golden tests.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::{CommandError, Console, ExitCode};
use crate::barclamp::{
    Barclamp, BarclampError, EXPECTED_FOLDER, GoldenCase, Registry, TESTS_FOLDER, run_golden, scaffold,
};
use crate::names::BarclampName;

/// Version of the format of `--json`.
const FORMAT: u32 = 1;

/// Arguments of `hactl barclamp`.
#[derive(Debug, clap::Args)]
pub struct BarclampArgs {
    /// Folder with barclamps that add to or replace the built-in ones (repeatable)
    #[arg(long = "barclamp-path", value_name = "DIR", global = true)]
    paths: Vec<Utf8PathBuf>,
    #[command(subcommand)]
    verb: BarclampVerb,
}

#[derive(Debug, clap::Subcommand)]
enum BarclampVerb {
    /// List the barclamps that there are
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a barclamp does and which attributes it has
    Show {
        /// Its name
        name: String,
        /// Print its manifest and its attributes' JSON Schema as JSON
        #[arg(long)]
        json: bool,
    },
    /// Begin a new barclamp
    New {
        /// Its name
        name: String,
        /// The folder in which its folder is made
        #[arg(long, value_name = "DIR", default_value = ".")]
        r#in: Utf8PathBuf,
    },
    /// Run the golden tests of barclamps
    Test {
        /// The folders of the barclamps
        #[arg(required = true, value_name = "DIR")]
        folders: Vec<Utf8PathBuf>,
        /// Take what comes out as what is expected; look at the difference before you commit it
        #[arg(long)]
        update: bool,
    },
}

/// Does what the arguments say.
///
/// # Errors
/// A barclamp is wrong, a test fails, or a file cannot be written.
pub(super) fn run(arguments: &BarclampArgs, console: &Console) -> Result<ExitCode, CommandError> {
    match &arguments.verb {
        BarclampVerb::List { json } => list(&load(&arguments.paths)?, *json, console),
        BarclampVerb::Show { name, json } => show(&load(&arguments.paths)?, name, *json, console),
        BarclampVerb::New { name, r#in } => new(name, r#in, console),
        BarclampVerb::Test { folders, update } => test(&arguments.paths, folders, *update, console),
    }
}

fn load(paths: &[Utf8PathBuf]) -> Result<Registry, CommandError> {
    Registry::load(paths).map_err(|errors| refused(&errors))
}

fn refused(errors: &[BarclampError]) -> CommandError {
    CommandError::all(ExitCode::Usage, errors.iter().map(ToString::to_string).collect())
}

fn list(registry: &Registry, json: bool, console: &Console) -> Result<ExitCode, CommandError> {
    if json {
        let barclamps: Vec<Value> = registry
            .iter()
            .map(|barclamp| {
                let manifest = &barclamp.manifest;
                json!({ "manifest": manifest, "folder": barclamp.folder.origin, "usable": manifest.unusable.is_none() })
            })
            .collect();
        console.json(&json!({ "format": FORMAT, "barclamps": barclamps }))?;
        return Ok(ExitCode::Done);
    }
    let width = |of: &dyn Fn(&Barclamp) -> usize| registry.iter().map(of).max().unwrap_or(0);
    let names = width(&|barclamp| barclamp.manifest.name.as_str().len());
    let versions = width(&|barclamp| barclamp.manifest.version.len());
    let mut text = String::new();
    for barclamp in registry.iter() {
        let manifest = &barclamp.manifest;
        let unusable = manifest
            .unusable
            .as_ref()
            .map(|reason| format!(" (cannot be used: {reason})"))
            .unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:names$}  {:versions$}  {}{unusable}",
            manifest.name, manifest.version, manifest.summary
        );
    }
    console.result(&text)?;
    Ok(ExitCode::Done)
}

fn show(registry: &Registry, name: &str, json: bool, console: &Console) -> Result<ExitCode, CommandError> {
    let barclamp = registry.get(name).map_err(|error| refused(&[error]))?;
    if json {
        console.json(&json!({
            "format": FORMAT,
            "manifest": barclamp.manifest,
            "folder": barclamp.folder.origin,
            "attributes": barclamp.schema.attributes,
            "fence_agents": barclamp.agents,
        }))?;
    } else {
        console.result(&described(barclamp))?;
    }
    Ok(ExitCode::Done)
}

/// A barclamp for people.
fn described(barclamp: &Barclamp) -> String {
    let manifest = &barclamp.manifest;
    let mut out = format!("{} {}: {}\n", manifest.name, manifest.version, manifest.summary);
    let distros: Vec<&str> = manifest.distros.iter().map(|distro| distro.pretty()).collect();
    let words = |set: &std::collections::BTreeSet<String>| {
        set.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let mut line = |what: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "{what:<10} {text}");
        }
    };
    line("from", &barclamp.folder.origin);
    line("supports", &distros.join(", "));
    line("requires", &words(&manifest.requires));
    line("provides", &words(&manifest.provides));
    line("unusable", manifest.unusable.as_deref().unwrap_or_default());
    if !manifest.roles.is_empty() {
        out.push_str("\nRoles\n");
        for (name, role) in &manifest.roles {
            let default = format!("{:?}", role.default).to_lowercase();
            let _ = writeln!(out, "  {name}: {} (without one in the inventory: {default})", role.summary);
        }
    }
    let claims: Vec<&str> = barclamp.claims().map(|claim| claim.summary.as_str()).collect();
    if !claims.is_empty() {
        out.push_str("\nBlock devices\n");
        claims.iter().for_each(|claim| out.push_str(&format!("  {claim}\n")));
    }
    if !barclamp.schema.fields().is_empty() {
        out.push_str("\nAttributes\n");
    }
    for field in barclamp.schema.fields() {
        let indent = "  ".repeat(field.depth + 1);
        let mut notes = vec![field.kind.clone()];
        notes.extend(field.required.then(|| "required".to_owned()));
        notes.extend(field.secret.then(|| "secret".to_owned()));
        notes.extend(field.default.as_ref().map(|default| format!("default {default}")));
        let _ = writeln!(out, "{indent}{} ({})", field.name, notes.join(", "));
        if let Some(description) = &field.description {
            let _ = writeln!(out, "{indent}    {description}");
        }
    }
    if !barclamp.agents.is_empty() {
        out.push_str("\nFence agents\n");
    }
    for (name, agent) in &barclamp.agents {
        let _ = writeln!(out, "  {name}: {}", agent.summary);
        let mut required: Vec<String> = Vec::new();
        for (name, param) in agent.params.iter().filter(|(_, param)| param.required || param.secret) {
            let notes = [param.required.then_some("required"), param.secret.then_some("secret")];
            let notes: Vec<&str> = notes.into_iter().flatten().collect();
            required.push(format!("{name} ({})", notes.join(", ")));
        }
        if !required.is_empty() {
            let _ = writeln!(out, "      {}", required.join(", "));
        }
    }
    out
}

fn new(name: &str, parent: &Utf8Path, console: &Console) -> Result<ExitCode, CommandError> {
    let name =
        BarclampName::new(name).map_err(|error| CommandError::new(ExitCode::Usage, error.to_string()))?;
    let folder = parent.join(name.as_str());
    if folder.exists() {
        let problem = format!("{folder} is there already");
        return Err(CommandError::new(ExitCode::Usage, problem).advice("choose another name, or remove it"));
    }
    for (path, text) in scaffold(&name) {
        write(&folder.join(path), &text)?;
    }
    console.result(&format!("{folder}\n"))?;
    console.say(&format!(
        "test it with `hactl barclamp test {folder}`, use it with `--barclamp-path {folder}`\n"
    ));
    Ok(ExitCode::Done)
}

fn write(path: &Utf8Path, text: &str) -> Result<(), CommandError> {
    let written =
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
    written.map_err(|error| CommandError::local(&format!("cannot write {path}"), &error))
}

fn test(
    paths: &[Utf8PathBuf],
    folders: &[Utf8PathBuf],
    update: bool,
    console: &Console,
) -> Result<ExitCode, CommandError> {
    let all: Vec<Utf8PathBuf> = paths.iter().chain(folders).cloned().collect();
    let registry = load(&all)?;
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for folder in folders {
        let real = folder.canonicalize_utf8();
        let real = real.map_err(|error| CommandError::local(&format!("cannot read {folder}"), &error))?;
        let mut tested = false;
        for barclamp in registry.iter().filter(|it| Utf8Path::new(&it.folder.origin).starts_with(&real)) {
            tested = true;
            let cases = run_golden(&registry, &barclamp.manifest.name).map_err(|errors| refused(&errors))?;
            if cases.is_empty() {
                console.say(&format!("{}: no golden tests\n", barclamp.manifest.name));
            }
            for case in &cases {
                let ok = case.passed();
                if ok {
                    passed += 1
                } else {
                    failed += 1
                }
                if update && !ok {
                    replace_expected(
                        &Utf8Path::new(&barclamp.folder.origin).join(TESTS_FOLDER).join(&case.name),
                        case,
                    )?;
                }
                console.result(&verdict(barclamp, case, update))?;
            }
        }
        if !tested {
            return Err(CommandError::new(ExitCode::Usage, format!("there is no barclamp in {folder}")));
        }
    }
    let what = if update { "rewritten" } else { "failed" };
    console.say(&format!("{passed} passed, {failed} {what}\n"));
    if failed > 0 && !update { Err(CommandError::told(ExitCode::Failed)) } else { Ok(ExitCode::Done) }
}

fn verdict(barclamp: &Barclamp, case: &GoldenCase, update: bool) -> String {
    let name = format!("{}/{}", barclamp.manifest.name, case.name);
    if case.passed() {
        return format!("ok        {name}\n");
    }
    let word = if update { "rewritten" } else { "FAILED   " };
    let mut text = format!("{word} {name}\n");
    for (path, diff) in case.differences() {
        let _ = writeln!(text, "--- {TESTS_FOLDER}/{}/{EXPECTED_FOLDER}/{path}", case.name);
        text.push_str(&diff);
    }
    text
}

/// Writes what came out, and removes what no longer does.
fn replace_expected(folder: &Utf8Path, case: &GoldenCase) -> Result<(), CommandError> {
    let expected = folder.join(EXPECTED_FOLDER);
    for path in case.expected.keys().filter(|path| !case.actual.contains_key(*path)) {
        let path = expected.join(path);
        std::fs::remove_file(&path)
            .map_err(|error| CommandError::local(&format!("cannot remove {path}"), &error))?;
    }
    case.actual.iter().try_for_each(|(path, text)| write(&expected.join(path), text))
}
