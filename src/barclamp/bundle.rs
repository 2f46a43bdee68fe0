//! A loaded barclamp: everything in its folder, checked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::agent::{AGENTS_FOLDER, FenceAgent};
use super::checks::{CHECKS_FILE, CheckItem, load_checks};
use super::claim_items::ClaimItem;
use super::error::BarclampError;
use super::family::Family;
use super::folder::Folder;
use super::item::{ForEach, Item, Kind, On, RESOURCES_FILE, load_items};
use super::manifest::{MANIFEST_FILE, Manifest};
use super::paths::lost_paths;
use super::schema::{SCHEMA_FILE, Schema};
use super::templates::{TEMPLATE_SUFFIX, TEMPLATES_FOLDER, Templates, file_of, is_template};
use crate::inventory::closest;
use crate::names::RoleName;

/// The folder of golden tests.
pub const TESTS_FOLDER: &str = "tests";
/// What may stand in a barclamp's folder.
const KNOWN: &[&str] = &[
    MANIFEST_FILE,
    SCHEMA_FILE,
    RESOURCES_FILE,
    CHECKS_FILE,
    TEMPLATES_FOLDER,
    AGENTS_FOLDER,
    TESTS_FOLDER,
    "README.md",
];

/// What every template may see.
const VARIABLES: &[&str] =
    &["barclamp", "cluster", "founder", "nodes", "roles", "attributes", "barclamps", "omit"];
/// What templates of a node may see as well.
const NODE_VARIABLE: &str = "node";
/// What repeated templates may see as well.
const ITEM_VARIABLE: &str = "item";
/// What the template of the CIB may see as well.
const CIB_VARIABLE: &str = "cib";

/// A barclamp, loaded and checked.
#[derive(Debug)]
pub struct Barclamp {
    /// Its files.
    pub folder: Folder,
    /// The family that it extends.
    family: Option<Family>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its attributes.
    pub schema: Schema,
    /// What it declares.
    pub items: Vec<Item>,
    /// What it asserts.
    pub checks: Vec<CheckItem>,
    /// Its templates.
    pub templates: Templates,
    /// The fence agents that it knows.
    pub agents: BTreeMap<String, FenceAgent>,
}

impl Barclamp {
    /// Loads and checks a folder. `families` are those that it may extend; `shared` holds the templates that all barclamps
    /// may include.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn load(
        folder: Folder,
        families: &BTreeMap<String, Family>,
        shared: &Folder,
    ) -> Result<Self, Vec<BarclampError>> {
        let mut errors = unknown_files(&folder);
        let Some(mut manifest) = keep(Manifest::load(&folder).map_err(|error| vec![error]), &mut errors)
        else {
            return Err(errors);
        };
        let family = match manifest.extends.as_ref().map(|name| (name, families.get(name.as_str()))) {
            Some((name, None)) => {
                let message = format!("`extends`: there is no family `{name}`");
                return Err(vec![folder.error(MANIFEST_FILE, None, message)]);
            }
            Some((_, Some(family))) => Some(family.clone()),
            None => None,
        };
        for (role, meaning) in family.iter().flat_map(|family| &family.roles) {
            manifest.roles.entry(role.clone()).or_insert_with(|| meaning.clone());
        }
        let of_family = family.as_ref().map(|family| &family.folder);
        let schema = keep(Schema::load_over(&folder, of_family).map_err(|error| vec![error]), &mut errors);
        let items = keep(all_items(&folder, of_family), &mut errors);
        let checks = keep(all_checks(&folder, of_family), &mut errors);
        let agents = keep(FenceAgent::load_all(&folder), &mut errors);
        let (Some(schema), Some(items), Some(checks), Some(agents)) = (schema, items, checks, agents) else {
            return Err(errors);
        };
        let of_items =
            items.iter().flat_map(|item| item.templates().into_iter().map(|text| (item.line, text)));
        let of_checks =
            checks.iter().flat_map(|check| check.templates().into_iter().map(|text| (check.line, text)));
        let inline: Vec<(u64, String)> = of_items.chain(of_checks).collect();
        let with_templates = Family::with_templates(family.as_ref(), &folder);
        let templates = Templates::load(&with_templates, shared, &inline).map_err(|error| vec![error]);
        let Some(templates) = keep(templates, &mut errors) else {
            return Err(errors);
        };
        let barclamp = Self { folder, family, manifest, schema, items, checks, templates, agents };
        barclamp.check_items(&mut errors);
        barclamp.check_circles(&mut errors);
        barclamp.check_paths(&with_templates, &mut errors);
        if errors.is_empty() { Ok(barclamp) } else { Err(errors) }
    }

    /// The folder that something stands in: its own, or the family's.
    pub(super) fn folder_of(&self, inherited: bool) -> &Folder {
        self.family.as_ref().filter(|_| inherited).map_or(&self.folder, |family| &family.folder)
    }

    /// What it needs block devices for.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimItem> {
        self.items.iter().filter_map(|item| match &item.kind {
            Kind::Claim(claim) => Some(claim),
            _ => None,
        })
    }

    /// An item by its id.
    #[must_use]
    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    fn check_items(&self, errors: &mut Vec<BarclampError>) {
        for item in &self.items {
            let mut wrong = |message: String| {
                errors.push(self.folder_of(item.inherited).error(
                    RESOURCES_FILE,
                    Some(item.line),
                    format!("item `{}`: {message}", item.id),
                ));
            };
            self.check_references(item, &mut wrong);
            self.check_roles(item, &mut wrong);
            self.check_kind(item, &mut wrong);
            let mut allowed: BTreeSet<&str> = VARIABLES.iter().copied().collect();
            allowed.extend(item.kind.is_per_node().then_some(NODE_VARIABLE));
            allowed.extend(item.for_each.is_some().then_some(ITEM_VARIABLE));
            allowed.extend(matches!(item.kind, Kind::Cib(_)).then_some(CIB_VARIABLE));
            let file = item.file_template().map(file_of);
            let inline = item.templates().into_iter().map(|text| Templates::inline_name(&text));
            for template in inline.chain(file) {
                for name in self.templates.variables(&template) {
                    if !allowed.contains(name.as_str()) {
                        let close = closest(&name, allowed.iter().copied())
                            .map(|close| format!("; did you mean `{close}`?"));
                        wrong(format!(
                            "{template}: there is no variable `{name}` here{}",
                            close.unwrap_or_default()
                        ));
                    }
                }
            }
        }
        for check in &self.checks {
            for name in check
                .templates()
                .iter()
                .flat_map(|text| self.templates.variables(&Templates::inline_name(text)))
            {
                if !VARIABLES.contains(&name.as_str()) && name != NODE_VARIABLE {
                    let message = format!("check `{}`: there is no variable `{name}` here", check.id);
                    let folder = self.folder_of(check.inherited);
                    errors.push(folder.error(CHECKS_FILE, Some(check.line), message));
                }
            }
        }
    }

    fn check_references(&self, item: &Item, wrong: &mut impl FnMut(String)) {
        for reference in &item.after {
            match &reference.barclamp {
                Some(other) if other == self.manifest.name.as_str() => {
                    wrong(format!("`after` names its own barclamp: write `{}`", reference.item))
                }
                Some(other) if !self.manifest.requires.contains(other) => {
                    wrong(format!(
                        "`after` names barclamp `{other}`, which is not among `requires` of {MANIFEST_FILE}"
                    ));
                }
                Some(_) => {}
                None if self.item(&reference.item).is_none() => {
                    let close = closest(&reference.item, self.items.iter().map(|item| item.id.as_str()));
                    let close = close.map(|close| format!("; did you mean `{close}`?")).unwrap_or_default();
                    wrong(format!("`after`: there is no item `{}`{close}", reference.item));
                }
                None => {}
            }
        }
        if let Kind::Unit(unit) = &item.kind {
            for file in &unit.reads {
                if !self.item(file).is_some_and(|item| matches!(item.kind, Kind::File(_))) {
                    wrong(format!("`reads`: there is no item `{file}` of kind `file`"));
                }
            }
        }
    }

    fn check_roles(&self, item: &Item, wrong: &mut impl FnMut(String)) {
        let of_on = if let On::Role(role) = &item.on { Some(role) } else { None };
        let of_each = if let Some(ForEach::Role(role)) = &item.for_each { Some(role) } else { None };
        for role in of_on.into_iter().chain(of_each) {
            if !self.manifest.roles.contains_key(role) {
                let known: Vec<&str> = self.manifest.roles.keys().map(RoleName::as_str).collect();
                wrong(format!(
                    "role `{role}` is not among `roles` of {MANIFEST_FILE} ({})",
                    known.join(", ")
                ));
            }
        }
        if let Some(ForEach::Attribute(path)) = &item.for_each {
            let pointer = path.iter().fold(String::new(), |pointer, key| format!("{pointer}/{key}"));
            let schema = self
                .schema
                .at(&pointer)
                .and_then(|schema| self.schema.keyword(schema, "type"))
                .and_then(Value::as_str);
            if !matches!(schema, Some("object" | "array")) {
                wrong(format!(
                    "`for_each`: attribute `{}` is neither a mapping nor a list in {SCHEMA_FILE}",
                    path.join(".")
                ));
            }
        }
    }

    fn check_kind(&self, item: &Item, wrong: &mut impl FnMut(String)) {
        if let Some(template) = item.file_template()
            && !self.templates.has(template)
        {
            wrong(format!("there is no template {TEMPLATES_FOLDER}/{}", file_of(template)));
        }
        match &item.kind {
            Kind::Packages(packages) => {
                for distro in
                    self.manifest.distros.iter().filter(|distro| packages.names.get(**distro).is_none())
                {
                    wrong(format!(
                        "`names` says nothing of {distro}, which {MANIFEST_FILE} claims to support"
                    ));
                }
            }
            Kind::File(file) => {
                if !is_template(&file.mode) && parse_mode(&file.mode).is_none() {
                    wrong(format!("`mode: {}` is not permission bits in octal: write `\"0644\"`", file.mode));
                }
                if !file.path.starts_with(['/', '{']) {
                    wrong(format!("`path: {}` is not absolute", file.path));
                }
            }
            Kind::Unit(unit) => {
                if !unit.name.contains('.') {
                    wrong(format!("`{}` has no suffix: write `{}.service`", unit.name, unit.name));
                }
            }
            Kind::Cluster(_) | Kind::Cib(_) | Kind::Corosync(_) | Kind::Fencing | Kind::Hosts => {}
            Kind::Secret(_) | Kind::Module(_) | Kind::Sysctl(_) | Kind::Program(_) => {}
            Kind::Claim(claim) => {
                if claim.expects.is_empty() {
                    wrong("`expects` names nothing: say what its user puts on the device".to_owned());
                }
            }
            Kind::Filesystem(_) | Kind::SbdHeader(_) | Kind::Volume(_) | Kind::SeededDirectory(_) => {}
        }
    }

    /// Items that wait for each other.
    fn check_circles(&self, errors: &mut Vec<BarclampError>) {
        for start in &self.items {
            let mut seen: BTreeSet<&str> = BTreeSet::new();
            let mut waiting: Vec<&Item> = vec![start];
            while let Some(item) = waiting.pop() {
                for next in item
                    .after
                    .iter()
                    .filter(|reference| reference.barclamp.is_none())
                    .filter_map(|reference| self.item(&reference.item))
                {
                    if next.id == start.id {
                        let message =
                            format!("item `{}` comes after itself, through `{}`", start.id, item.id);
                        let folder = self.folder_of(start.inherited);
                        errors.push(folder.error(RESOURCES_FILE, Some(start.line), message));
                        return;
                    }
                    if seen.insert(&next.id) {
                        waiting.push(next);
                    }
                }
            }
        }
    }

    /// Attributes and fields that templates ask for and that cannot be there.
    fn check_paths(&self, with_templates: &Folder, errors: &mut Vec<BarclampError>) {
        for (path, source) in with_templates.below(TEMPLATES_FOLDER) {
            for lost in lost_paths(source, &self.schema) {
                errors.push(self.folder.error(
                    &format!("{TEMPLATES_FOLDER}/{path}"),
                    Some(lost.line),
                    lost.message,
                ));
            }
            if !path.as_str().ends_with(TEMPLATE_SUFFIX) {
                errors.push(self.folder.error(
                    &format!("{TEMPLATES_FOLDER}/{path}"),
                    None,
                    format!("the name of a template ends with {TEMPLATE_SUFFIX}"),
                ));
            }
        }
        let items = self.items.iter().flat_map(|item| {
            let place = (self.folder_of(item.inherited), RESOURCES_FILE, item.line);
            item.templates().into_iter().map(move |text| (place, text))
        });
        let checks = self.checks.iter().flat_map(|check| {
            let place = (self.folder_of(check.inherited), CHECKS_FILE, check.line);
            check.templates().into_iter().map(move |text| (place, text))
        });
        for ((folder, file, line), text) in items.chain(checks) {
            for lost in lost_paths(&text, &self.schema) {
                errors.push(folder.error(file, Some(line), format!("`{text}`: {}", lost.message)));
            }
        }
    }
}

/// Permission bits in octal.
pub(super) fn parse_mode(text: &str) -> Option<u32> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if digits { u32::from_str_radix(text, 8).ok() } else { None }
}

/// The items of the family, then its own.
fn all_items(folder: &Folder, family: Option<&Folder>) -> Result<Vec<Item>, Vec<BarclampError>> {
    let mut items = family.map(load_items).transpose()?.unwrap_or_default();
    items.iter_mut().for_each(|item| item.inherited = true);
    let mut errors = Vec::new();
    for item in load_items(folder)? {
        if items.iter().any(|other| other.id == item.id) {
            let message = format!("item `{}`: the family has one of this name", item.id);
            errors.push(folder.error(RESOURCES_FILE, Some(item.line), message));
        }
        items.push(item);
    }
    if errors.is_empty() { Ok(items) } else { Err(errors) }
}

/// The checks of the family, then its own.
fn all_checks(folder: &Folder, family: Option<&Folder>) -> Result<Vec<CheckItem>, Vec<BarclampError>> {
    let mut checks = family.map(load_checks).transpose()?.unwrap_or_default();
    checks.iter_mut().for_each(|check| check.inherited = true);
    let mut errors = Vec::new();
    for check in load_checks(folder)? {
        if checks.iter().any(|other| other.id == check.id) {
            let message = format!("check `{}`: the family has one of this name", check.id);
            errors.push(folder.error(CHECKS_FILE, Some(check.line), message));
        }
        checks.push(check);
    }
    if errors.is_empty() { Ok(checks) } else { Err(errors) }
}

fn keep<T>(result: Result<T, Vec<BarclampError>>, errors: &mut Vec<BarclampError>) -> Option<T> {
    result.map_err(|more| errors.extend(more)).ok()
}

/// Files that mean nothing: a misspelt name would otherwise be a file that is silently not there.
fn unknown_files(folder: &Folder) -> Vec<BarclampError> {
    let mut errors = Vec::new();
    for path in folder.files.keys() {
        let first = path.components().next().map(|part| part.as_str().to_owned()).unwrap_or_default();
        if !KNOWN.contains(&first.as_str()) {
            let help = match closest(&first, KNOWN.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("known are {}", KNOWN.join(", ")),
            };
            errors.push(BarclampError::Source {
                location: folder.location(path.clone(), None, None),
                message: "the file has no meaning in a barclamp".to_owned(),
                help: Some(help),
            });
        }
    }
    errors
}
