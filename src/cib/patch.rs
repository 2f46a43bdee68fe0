//! Pacemaker's XML patchset, format 2: one atomic change of a CIB.
//!
//! In: a patch made by [`super::patch_between`], or its saved text. Out: the XML that `cibadmin --patch --xml-pipe`
//! takes, and the same application in memory ([`CibPatch::apply`]) to know the result beforehand.
//!
//! # When Pacemaker accepts a patch
//! `xml_patch_version_check()` (2.1) and `check_patchset_versions()` (3.0) compare all three counters of
//! `<source>` with the CIB's, `num_updates` included, and demand that some counter of `<target>` be greater than in
//! `<source>`. `num_updates` rises with every change of status, many times a second during a transition, so a patch
//! made for a plan would be refused for nothing. What must not have changed since the plan is the *configuration*:
//! `admin_epoch` and `epoch`. Therefore a patch keeps those two, and the sender does the following:
//!
//! 1. `cibadmin --query --no-children`, read with [`super::CibVersion::parse`];
//! 2. [`CibPatch::check`]: another `admin_epoch` or `epoch` means that the plan is stale, and nothing is sent;
//! 3. [`CibPatch::request`] with [`Guard::Exact`] and the `num_updates` just read, to `cibadmin --patch --xml-pipe`;
//! 4. exit status 103 ([`EXIT_OLD`]): a status update came between; again from 1. After a few rounds on a busy
//!    cluster, [`Guard::Epoch`] leaves `<source>` out: Pacemaker then takes its own version as the source and only
//!    demands that the target's epoch be greater than its own, so that a configuration changed by someone else since
//!    the plan is still refused with 103.
//!
//! Other results: 1 with "Application of an update diff failed" when a path does not exist or the CIB is older than
//! the patch's source, 78 ([`EXIT_SCHEMA`]) when the result is not valid. In all of these nothing is changed.
//! Pacemaker raises `epoch` and resets `num_updates` by itself; the patch does not touch them.

use std::collections::HashMap;
use std::fmt;

use super::model::{Cib, CibVersion, expect_root};
use super::secret::{MASK, Reveal, UnknownSecret, has_marker, is_secret_name, masked, revealed};
use super::xml::{Element, Node, XmlError, unstorable};

/// Exit status of `cibadmin --patch` when the CIB is newer than the patch's source (`CRM_EX_OLD`).
pub const EXIT_OLD: i32 = 103;
/// Exit status of `cibadmin --patch` when the result would not be valid (`CRM_EX_CONFIG`).
pub const EXIT_SCHEMA: i32 = 78;

/// One operation of a patch. Paths are Pacemaker's: `/cib/configuration/resources/primitive[@id='vip']`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchOp {
    /// Insert an element with all that is in it.
    Create {
        /// The parent's path.
        path: String,
        /// The index it will have among its parent's children.
        position: usize,
        /// What is inserted.
        element: Element,
    },
    /// Replace an element's attributes.
    Modify {
        /// The element's path.
        path: String,
        /// What changes: the attribute's new value, or `None` when it is removed.
        attrs: Vec<(String, Option<String>)>,
        /// The element with all the attributes that it will have, without children.
        result: Element,
    },
    /// Give an element another place among its siblings.
    Move {
        /// The element's path.
        path: String,
        /// The index it will have.
        position: usize,
    },
    /// Remove an element with all that is in it.
    Delete {
        /// The element's path.
        path: String,
    },
}

impl PatchOp {
    /// The path the operation names.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Modify { path, .. }
            | Self::Move { path, .. }
            | Self::Delete { path } => path,
        }
    }

    fn to_xml(&self) -> Element {
        let change =
            |operation: &str| Element::new("change").with("operation", operation).with("path", self.path());
        match self {
            Self::Create { position, element, .. } => {
                change("create").with("position", position.to_string()).with_child(element.clone())
            }
            Self::Modify { attrs, result, .. } => {
                let list = attrs.iter().map(|(name, value)| {
                    let attr = Element::new("change-attr").with("name", name);
                    match value {
                        Some(value) => attr.with("operation", "set").with("value", value),
                        None => attr.with("operation", "unset"),
                    }
                });
                change("modify")
                    .with_child(Element::new("change-list").with_children(list))
                    .with_child(Element::new("change-result").with_child(result.clone()))
            }
            Self::Move { position, .. } => change("move").with("position", position.to_string()),
            Self::Delete { .. } => change("delete"),
        }
    }

    fn from_xml(change: &Element) -> Option<Self> {
        let path = change.attr("path")?.to_owned();
        let position = || change.attr("position")?.parse().ok();
        match change.attr("operation")? {
            "create" => {
                Some(Self::Create { path, position: position()?, element: change.elements().next()?.clone() })
            }
            "modify" => {
                let attrs = change.child("change-list")?.named("change-attr").map(|attr| {
                    let value = (attr.attr("operation")? == "set").then(|| attr.attr("value"));
                    Some((attr.attr("name")?.to_owned(), value.flatten().map(str::to_owned)))
                });
                let attrs = attrs.collect::<Option<_>>()?;
                let mut result = change.child("change-result")?.elements().next()?.clone();
                result.children.clear();
                Some(Self::Modify { path, attrs, result })
            }
            "move" => Some(Self::Move { path, position: position()? }),
            "delete" => Some(Self::Delete { path }),
            _ => None,
        }
    }
}

/// How a request is made conditional; see the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// On all three counters, with the `num_updates` that was just read.
    Exact {
        /// The live `num_updates`.
        num_updates: u64,
    },
    /// On the epoch only.
    Epoch,
}

/// The CIB's configuration is not the one that a patch was made for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CIB was at {planned} when this was planned and is at {live} now: plan again")]
pub struct StaleCib {
    /// The version planned for.
    pub planned: CibVersion,
    /// The version found.
    pub live: CibVersion,
}

/// Why a patch cannot be read or applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Not readable as XML.
    #[error("the patch cannot be read")]
    Xml(#[from] XmlError),
    /// Readable, but not a patchset of format 2.
    #[error("the patch is not a patchset of format 2: {0}")]
    Format(&'static str),
    /// A path leads nowhere.
    #[error("the CIB has no {0}")]
    NoSuchPath(String),
}

/// Why a patch cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A secret is not known.
    #[error(transparent)]
    Unknown(#[from] UnknownSecret),
    /// A secret is not something that Pacemaker can store.
    #[error("the secret in `{name}` holds {what}, which Pacemaker cannot store")]
    Unstorable {
        /// The parameter.
        name: String,
        /// What it holds.
        what: &'static str,
    },
}

/// An atomic change of a CIB, made for one version of its configuration.
///
/// Holds markers in place of secrets (`secret.rs`), so that it can be saved in a plan; it serialises as its XML text.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CibPatch {
    /// The version that the patch was made for. Its `num_updates` is that of the moment of planning.
    pub source: CibVersion,
    /// The operations, in order.
    pub ops: Vec<PatchOp>,
}

impl fmt::Debug for CibPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl From<CibPatch> for String {
    fn from(patch: CibPatch) -> Self {
        patch.to_xml(Guard::Exact { num_updates: patch.source.num_updates }).render()
    }
}

impl TryFrom<String> for CibPatch {
    type Error = PatchError;
    fn try_from(text: String) -> Result<Self, PatchError> {
        Self::parse(&text)
    }
}

impl CibPatch {
    /// Reads a patchset of format 2.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn parse(text: &str) -> Result<Self, PatchError> {
        let root = Element::parse(text)?;
        expect_root(&root, "diff")?;
        if root.attr("format") != Some("2") {
            return Err(PatchError::Format("its format is not 2"));
        }
        let source = root.child("version").and_then(|version| version.child("source"));
        let source = source.ok_or(PatchError::Format("it names no source version"))?;
        let ops = root.named("change").map(PatchOp::from_xml).collect::<Option<_>>();
        let ops = ops.ok_or(PatchError::Format("a change in it is not understood"))?;
        Ok(Self { source: CibVersion::of(source), ops })
    }

    /// Whether the configuration is still the one the patch was made for.
    ///
    /// # Errors
    /// [`StaleCib`] when it is not.
    pub fn check(&self, live: CibVersion) -> Result<(), StaleCib> {
        if self.source.same_configuration(live) {
            Ok(())
        } else {
            Err(StaleCib { planned: self.source, live })
        }
    }

    /// What is sent to `cibadmin --patch --xml-pipe`: the patch with its secrets spelled out. To be kept out of logs
    /// and argument lists.
    ///
    /// # Errors
    /// Names a secret that `reveal` does not know, or one that Pacemaker could not store.
    pub fn request(&self, guard: Guard, reveal: Reveal<'_>) -> Result<String, RequestError> {
        let mut xml = self.to_xml(guard);
        xml.map_values(&mut |name, value| {
            if !has_marker(value) {
                return Ok(None);
            }
            let value = revealed(value, reveal)?;
            match unstorable(&value) {
                Some(what) => Err(RequestError::Unstorable { name: name.to_owned(), what }),
                None => Ok(Some(value)),
            }
        })?;
        Ok(xml.render())
    }

    /// The patch for people: indented, with the names of secrets in place of their values, and values of parameters
    /// that sound secret masked.
    #[must_use]
    pub fn masked(&self) -> String {
        let mut shown = self.clone();
        for op in &mut shown.ops {
            match op {
                PatchOp::Create { element, .. } => mask(element),
                PatchOp::Modify { attrs, result, .. } => {
                    mask(result);
                    for (name, value) in attrs {
                        if let (Some(value), Some(shown)) = (value, result.attr(name)) {
                            shown.clone_into(value);
                        }
                    }
                }
                PatchOp::Move { .. } | PatchOp::Delete { .. } => {}
            }
        }
        shown.to_xml(Guard::Exact { num_updates: self.source.num_updates }).render_pretty()
    }

    fn to_xml(&self, guard: Guard) -> Element {
        let counters = |name: &str, version: CibVersion| {
            Element::new(name)
                .with("admin_epoch", version.admin_epoch.to_string())
                .with("epoch", version.epoch.to_string())
                .with("num_updates", version.num_updates.to_string())
        };
        let mut version = Element::new("version");
        if let Guard::Exact { num_updates } = guard {
            version = version.with_child(counters("source", CibVersion { num_updates, ..self.source }));
        }
        let target = CibVersion { epoch: self.source.epoch + 1, num_updates: 0, ..self.source };
        Element::new("diff")
            .with("format", "2")
            .with_child(version.with_child(counters("target", target)))
            .with_children(self.ops.iter().map(PatchOp::to_xml))
    }

    /// What the CIB will be: the operations applied as Pacemaker does (deletions and modifications in order, then
    /// creations and moves by position), and the epoch raised.
    ///
    /// # Errors
    /// When a path does not exist in `cib`.
    pub fn apply(&self, cib: &Cib) -> Result<Cib, PatchError> {
        let mut arena = Arena::of(cib.root());
        let mut placed: Vec<(usize, usize, usize)> = Vec::new();
        for op in &self.ops {
            let found = arena.find(op.path());
            match op {
                PatchOp::Delete { .. } => {
                    if let Some(index) = found {
                        arena.detach(index);
                    }
                    continue;
                }
                PatchOp::Modify { .. } | PatchOp::Create { .. } | PatchOp::Move { .. } => {}
            }
            let index = found.ok_or_else(|| PatchError::NoSuchPath(op.path().to_owned()))?;
            match op {
                PatchOp::Delete { .. } => {}
                PatchOp::Modify { result, .. } => arena.set_attrs(index, &result.attrs),
                PatchOp::Create { position, element, .. } => {
                    let child = arena.add(&Node::Element(element.clone()));
                    placed.push((*position, index, child));
                }
                PatchOp::Move { position, .. } => {
                    let parent = arena.parent(index).ok_or(PatchError::Format("it moves the root"))?;
                    arena.detach(index);
                    placed.push((*position, parent, index));
                }
            }
        }
        // Stable, as in Pacemaker. What is moved waits at the end of its siblings there and outside them here: the
        // places filled in ascending order come out the same.
        placed.sort_by_key(|(position, _, _)| *position);
        for (position, parent, child) in placed {
            arena.insert(parent, position, child);
        }
        let mut root = arena.into_element();
        root.set("epoch", (cib.version().epoch + 1).to_string());
        root.set("num_updates", "0");
        Ok(Cib::from_element(root)?)
    }
}

pub(super) fn mask(element: &mut Element) {
    let done: Result<(), std::convert::Infallible> = element.map_values(&mut |name, value| {
        Ok(if has_marker(value) {
            Some(masked(value))
        } else {
            is_secret_name(name).then(|| MASK.to_owned())
        })
    });
    match done {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

/// A tree whose nodes keep their identity while it is changed.
struct Arena {
    slots: Vec<Slot>,
}

struct Slot {
    /// Without children.
    node: Node,
    children: Vec<usize>,
    parent: Option<usize>,
}

impl Arena {
    fn of(root: &Element) -> Self {
        let mut arena = Self { slots: Vec::new() };
        arena.add(&Node::Element(root.clone()));
        arena
    }

    fn add(&mut self, node: &Node) -> usize {
        let index = self.slots.len();
        match node {
            Node::Comment(_) => {
                self.slots.push(Slot { node: node.clone(), children: Vec::new(), parent: None });
            }
            Node::Element(element) => {
                self.slots.push(Slot {
                    node: Node::Element(element.bare()),
                    children: Vec::new(),
                    parent: None,
                });
                for child in &element.children {
                    let child = self.add(child);
                    self.slots[child].parent = Some(index);
                    self.slots[index].children.push(child);
                }
            }
        }
        index
    }

    fn parent(&self, index: usize) -> Option<usize> {
        self.slots[index].parent
    }

    fn detach(&mut self, index: usize) {
        if let Some(parent) = self.slots[index].parent.take() {
            self.slots[parent].children.retain(|child| *child != index);
        }
    }

    fn insert(&mut self, parent: usize, position: usize, child: usize) {
        let siblings = &mut self.slots[parent].children;
        let position = position.min(siblings.len());
        siblings.insert(position, child);
        self.slots[child].parent = Some(parent);
    }

    fn set_attrs(&mut self, index: usize, attrs: &[(String, String)]) {
        if let Node::Element(element) = &mut self.slots[index].node {
            element.attrs = attrs.to_vec();
        }
    }

    /// The element at one of Pacemaker's simplified paths (`search_v2_xpath()`): at each step the first child with
    /// the name and, where given, the id.
    fn find(&self, path: &str) -> Option<usize> {
        let mut steps = path.strip_prefix('/')?.split('/');
        let matches = |index: usize, step: &str| {
            let (name, id) = match step.split_once("[@id='") {
                Some((name, rest)) => (name, rest.split('\'').next()),
                None => (step, None),
            };
            let element = self.slots[index].node.as_element();
            element.is_some_and(|element| element.name == name && (id.is_none() || element.id() == id))
        };
        let mut at = 0;
        if !matches(at, steps.next()?) {
            return None;
        }
        for step in steps {
            at = self.slots[at].children.iter().copied().find(|child| matches(*child, step))?;
        }
        Some(at)
    }

    fn into_element(self) -> Element {
        let mut nodes: HashMap<usize, Node> = HashMap::new();
        // Children were added after their parents or inserted later: built bottom-up by an explicit walk.
        let mut order = vec![0];
        let mut next = 0;
        while next < order.len() {
            order.extend(self.slots[order[next]].children.iter().copied());
            next += 1;
        }
        for index in order.iter().rev() {
            let slot = &self.slots[*index];
            let mut node = slot.node.clone();
            if let Node::Element(element) = &mut node {
                element.children = slot.children.iter().filter_map(|child| nodes.remove(child)).collect();
            }
            nodes.insert(*index, node);
        }
        match nodes.remove(&0) {
            Some(Node::Element(root)) => root,
            // Slot 0 is the root element that the arena was made of.
            _ => unreachable!("the root is an element"),
        }
    }
}
