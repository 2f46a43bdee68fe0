//! The Cluster Information Base: its version, its sections, and where things stand in it.
//!
//! In: what `cibadmin --query` prints, or elements from the builders. Out: a [`Cib`] that holds every element and
//! attribute, known or not, and finds things by section. Never sends anything anywhere.

use std::fmt;

use super::patch::mask;
use super::secret::{Reveal, UnknownSecret, has_marker, revealed};
use super::xml::{Element, Node, XmlError};

/// The three counters that order all states of a CIB.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
pub struct CibVersion {
    /// Raised by administrators only.
    pub admin_epoch: u64,
    /// Raised by Pacemaker with each change of the configuration.
    pub epoch: u64,
    /// Raised with each change of the status; set to 0 when `epoch` is raised.
    pub num_updates: u64,
}

impl CibVersion {
    /// Reads the version off a `<cib>` element; a counter that is missing or no number counts as 0, as in Pacemaker.
    #[must_use]
    pub fn of(root: &Element) -> Self {
        let counter = |name| root.attr(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        Self {
            admin_epoch: counter("admin_epoch"),
            epoch: counter("epoch"),
            num_updates: counter("num_updates"),
        }
    }

    /// Reads the version off the output of `cibadmin --query --no-children`, or of a full query.
    ///
    /// # Errors
    /// When the text is not a `<cib>` document.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let root = Element::parse(text)?;
        expect_root(&root, "cib")?;
        Ok(Self::of(&root))
    }

    /// Whether both have the same configuration: `num_updates` counts changes of the status only.
    #[must_use]
    pub const fn same_configuration(self, other: Self) -> bool {
        self.admin_epoch == other.admin_epoch && self.epoch == other.epoch
    }
}

impl fmt::Display for CibVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.admin_epoch, self.epoch, self.num_updates)
    }
}

/// The sections of `<configuration>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Cluster properties.
    CrmConfig,
    /// Nodes, their attributes and utilization.
    Nodes,
    /// Primitives, groups, clones, bundles, templates.
    Resources,
    /// Location, colocation, order, ticket.
    Constraints,
    /// Fencing levels.
    FencingTopology,
    /// Access control.
    Acls,
    /// Tags.
    Tags,
    /// Alerts.
    Alerts,
    /// Defaults of resources.
    RscDefaults,
    /// Defaults of operations.
    OpDefaults,
}

impl Section {
    /// All sections, in the order in which they are written.
    pub const ALL: [Self; 10] = [
        Self::CrmConfig,
        Self::Nodes,
        Self::Resources,
        Self::Constraints,
        Self::FencingTopology,
        Self::Acls,
        Self::Tags,
        Self::Alerts,
        Self::RscDefaults,
        Self::OpDefaults,
    ];

    /// The name of the section's element.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrmConfig => "crm_config",
            Self::Nodes => "nodes",
            Self::Resources => "resources",
            Self::Constraints => "constraints",
            Self::FencingTopology => "fencing-topology",
            Self::Acls => "acls",
            Self::Tags => "tags",
            Self::Alerts => "alerts",
            Self::RscDefaults => "rsc_defaults",
            Self::OpDefaults => "op_defaults",
        }
    }

    /// The section with the given element name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.as_str() == name)
    }

    /// Whether every CIB has the section, also when it is empty (the schema demands it).
    #[must_use]
    pub const fn is_required(self) -> bool {
        matches!(self, Self::CrmConfig | Self::Nodes | Self::Resources | Self::Constraints)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A CIB. A live one holds secrets: only [`Cib::redacted`] (which is also what `Debug` shows) is for people.
#[derive(Clone, PartialEq, Eq)]
pub struct Cib {
    root: Element,
}

impl Cib {
    /// A CIB with empty sections, for `schema` (such as `pacemaker-3.9`): where a desired state begins.
    #[must_use]
    pub fn empty(schema: &str) -> Self {
        let sections = Section::ALL.into_iter().filter(|section| section.is_required());
        let configuration = Element::new("configuration")
            .with_children(sections.map(|section| Element::new(section.as_str())));
        let root = Element::new("cib")
            .with("validate-with", schema)
            .with("admin_epoch", "0")
            .with("epoch", "0")
            .with("num_updates", "0")
            .with_child(configuration)
            .with_child(Element::new("status"));
        Self { root }
    }

    /// Reads what `cibadmin --query` prints.
    ///
    /// # Errors
    /// When the text is no acceptable XML, or not a `<cib>` with a `<configuration>`.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        Self::from_element(Element::parse(text)?)
    }

    /// A CIB from its root element.
    ///
    /// # Errors
    /// When the element is not a `<cib>`, or has no `<configuration>`.
    pub fn from_element(root: Element) -> Result<Self, XmlError> {
        expect_root(&root, "cib")?;
        if root.child("configuration").is_none() {
            return Err(XmlError::WrongRoot { expected: "cib with a <configuration>", found: root.name });
        }
        Ok(Self { root })
    }

    /// The `<cib>` element.
    #[must_use]
    pub const fn root(&self) -> &Element {
        &self.root
    }

    /// The counters.
    #[must_use]
    pub fn version(&self) -> CibVersion {
        CibVersion::of(&self.root)
    }

    /// The schema (`validate-with`), such as `pacemaker-3.9`.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.root.attr("validate-with")
    }

    /// The section, if the CIB has it.
    #[must_use]
    pub fn section(&self, section: Section) -> Option<&Element> {
        self.root.child("configuration")?.child(section.as_str())
    }

    /// The section, made if the CIB has it not.
    pub fn section_mut(&mut self, section: Section) -> &mut Element {
        let configuration = self.configuration_mut();
        let found = configuration
            .children
            .iter()
            .position(|node| node.as_element().is_some_and(|element| element.name == section.as_str()));
        let index = found.unwrap_or_else(|| {
            configuration.children.push(Node::Element(Element::new(section.as_str())));
            configuration.children.len() - 1
        });
        match &mut configuration.children[index] {
            Node::Element(element) => element,
            // `index` is that of an element, found or made above.
            Node::Comment(_) => unreachable!("the index is that of an element"),
        }
    }

    /// A copy in which the known sections are there but empty.
    pub(super) fn skeleton(&self) -> Self {
        let is_section = |element: &Element| Section::from_name(&element.name).is_some();
        let copy_section = |node: &Node| match node {
            Node::Element(element) if is_section(element) => Node::Element(element.bare()),
            other => other.clone(),
        };
        let copy = |node: &Node| match node {
            Node::Element(element) if element.name == "configuration" => {
                let children = element.children.iter().map(copy_section).collect();
                Node::Element(Element { children, ..element.bare() })
            }
            other => other.clone(),
        };
        let children = self.root.children.iter().map(copy).collect();
        Self { root: Element { children, ..self.root.bare() } }
    }

    pub(super) fn remove_section(&mut self, section: Section) {
        let is_other = |node: &Node| node.as_element().is_none_or(|element| element.name != section.as_str());
        self.configuration_mut().children.retain(is_other);
    }

    fn configuration_mut(&mut self) -> &mut Element {
        if self.root.child("configuration").is_none() {
            self.root.children.push(Node::Element(Element::new("configuration")));
        }
        match self.root.child_mut("configuration") {
            Some(configuration) => configuration,
            // Made above when it was missing.
            None => unreachable!("the configuration was made if it was missing"),
        }
    }

    /// The object with the given id in a section.
    #[must_use]
    pub fn object(&self, section: Section, id: &str) -> Option<&Element> {
        self.section(section)?.elements().find(|element| element.id() == Some(id))
    }

    /// Appends an object to a section, or replaces the one with the same id.
    pub fn put(&mut self, section: Section, object: Element) {
        let siblings = &mut self.section_mut(section).children;
        let same = siblings.iter_mut().find_map(|node| match node {
            Node::Element(element) if element.id().is_some() && element.id() == object.id() => Some(element),
            _ => None,
        });
        match same {
            Some(element) => *element = object,
            None => siblings.push(Node::Element(object)),
        }
    }

    /// The document, without blanks between elements, as `crm_verify` and `crm_simulate` take it. Holds what secrets
    /// the CIB holds.
    #[must_use]
    pub fn render(&self) -> String {
        self.root.render()
    }

    /// The document with its secrets spelled out instead of their markers.
    ///
    /// # Errors
    /// Names a secret that `reveal` does not know.
    pub fn render_revealed(&self, reveal: Reveal<'_>) -> Result<String, UnknownSecret> {
        let mut root = self.root.clone();
        root.map_values(&mut |_, value| {
            if has_marker(value) { revealed(value, reveal).map(Some) } else { Ok(None) }
        })?;
        Ok(root.render())
    }

    /// The same CIB without what happens at the moment: the configuration alone.
    #[must_use]
    pub fn without_status(&self) -> Self {
        let mut cib = self.clone();
        cib.root.children.retain(|node| node.as_element().is_none_or(|element| element.name != "status"));
        cib
    }

    /// The document for people: indented, values of secrets masked.
    #[must_use]
    pub fn redacted(&self) -> String {
        let mut root = self.root.clone();
        mask(&mut root);
        root.render_pretty()
    }
}

impl fmt::Debug for Cib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

pub(super) fn expect_root(root: &Element, expected: &'static str) -> Result<(), XmlError> {
    if root.name == expected {
        Ok(())
    } else {
        Err(XmlError::WrongRoot { expected, found: root.name.clone() })
    }
}
