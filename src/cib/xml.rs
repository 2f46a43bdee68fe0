//! The element tree under everything here: what Pacemaker keeps of XML, no more and no less.
//!
//! In: text. Out: [`Element`]s with their attributes and children in order, and text again:
//! `parse(render(x)) == x`. Comments are kept, since positions in a patch count them. Text between elements is blank in
//! every CIB (Pacemaker drops all text), so other text is refused rather than lost. DTDs, namespaces and processing
//! instructions have no place in a CIB and are refused.

use std::fmt;

/// Largest document accepted, in bytes. Pacemaker's own limit for a message is 128 MiB uncompressed in principle; a
/// CIB of 10,000 resources has about 8 MiB.
pub const MAX_XML_BYTES: usize = 64 * 1024 * 1024;
/// Most elements and comments accepted in a document.
pub const MAX_XML_NODES: u32 = 4_000_000;
/// Deepest nesting accepted. The CIB's own deepest (rules in operations of a bundle's primitive) is about 14.
pub const MAX_XML_DEPTH: usize = 64;

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Larger than [`MAX_XML_BYTES`].
    #[error("the document has {0} bytes, more than the {MAX_XML_BYTES} that are accepted")]
    TooLarge(usize),
    /// Nested deeper than [`MAX_XML_DEPTH`].
    #[error("elements are nested deeper than {MAX_XML_DEPTH}")]
    TooDeep,
    /// Not well-formed, with a DTD, or with too many nodes.
    #[error("not acceptable XML: {0}")]
    Malformed(String),
    /// Something that Pacemaker would drop.
    #[error("<{element}> holds {what}, which has no place in a CIB")]
    Unsupported {
        /// The element.
        element: String,
        /// What is in it.
        what: &'static str,
    },
    /// Another document than the one expected.
    #[error("the document is a <{found}>, not a <{expected}>")]
    WrongRoot {
        /// The element that was expected.
        expected: &'static str,
        /// The element that was found.
        found: String,
    },
}

/// A child of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// A comment's text.
    Comment(String),
}

impl Node {
    /// The element, unless it is a comment.
    #[must_use]
    pub const fn as_element(&self) -> Option<&Element> {
        match self {
            Self::Element(element) => Some(element),
            Self::Comment(_) => None,
        }
    }
}

/// An element: name, attributes and children, all in document order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The element's name.
    pub name: String,
    /// Attributes in document order, each name once.
    pub attrs: Vec<(String, String)>,
    /// Children in document order.
    pub children: Vec<Node>,
}

impl Element {
    /// An empty element.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), attrs: Vec::new(), children: Vec::new() }
    }

    /// The same element with an attribute set.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// The same element with a child appended.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// The same element with children appended.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The `id` attribute.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.attr("id")
    }

    /// Sets an attribute, keeping its place if it is there already.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.attrs.iter_mut().find(|(found, _)| *found == name) {
            Some((_, old)) => *old = value,
            None => self.attrs.push((name, value)),
        }
    }

    /// The child elements, in document order.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &Self> {
        self.children.iter().filter_map(Node::as_element)
    }

    /// The child elements with the given name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Self> {
        self.elements().filter(move |element| element.name == name)
    }

    /// The first child element with the given name.
    #[must_use]
    pub fn child<'a>(&'a self, name: &'a str) -> Option<&'a Self> {
        self.elements().find(|element| element.name == name)
    }

    /// The first child element with the given name, to be changed.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.children.iter_mut().find_map(|node| match node {
            Node::Element(element) if element.name == name => Some(element),
            _ => None,
        })
    }

    /// The element and all below it, in document order.
    pub fn walk(&self) -> impl Iterator<Item = &Self> {
        let mut stack = vec![self];
        std::iter::from_fn(move || {
            let next = stack.pop()?;
            stack.extend(next.elements().rev());
            Some(next)
        })
    }

    /// The element without its children.
    pub(super) fn bare(&self) -> Self {
        Self { name: self.name.clone(), attrs: self.attrs.clone(), children: Vec::new() }
    }

    /// Replaces attribute values: `each` gets the name of the parameter that a value belongs to (empty for attributes
    /// that are not the value of an nvpair) and the value, and returns the new value, if it is to be another.
    pub(super) fn map_values<E>(
        &mut self,
        each: &mut impl FnMut(&str, &str) -> Result<Option<String>, E>,
    ) -> Result<(), E> {
        let pair = self.attr("name").map(str::to_owned);
        for (name, value) in &mut self.attrs {
            let about = if name == "value" { pair.as_deref().unwrap_or_default() } else { "" };
            if let Some(new) = each(about, value)? {
                *value = new;
            }
        }
        for child in &mut self.children {
            if let Node::Element(child) = child {
                child.map_values(each)?;
            }
        }
        Ok(())
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When a limit is hit, the text is not well-formed, or it holds what a CIB cannot hold.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        if text.len() > MAX_XML_BYTES {
            return Err(XmlError::TooLarge(text.len()));
        }
        let options = roxmltree::ParsingOptions {
            allow_dtd: false,
            nodes_limit: MAX_XML_NODES,
            ..roxmltree::ParsingOptions::default()
        };
        let document = roxmltree::Document::parse_with_options(text, options)
            .map_err(|error| XmlError::Malformed(error.to_string()))?;
        convert(document.root_element(), 1)
    }

    /// Writes the element without any blanks between elements: what is sent to Pacemaker.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// Writes the element with one element per line, indented by two: what is shown and diffed.
    #[must_use]
    pub fn render_pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    fn write(&self, out: &mut String, indent: Option<usize>) {
        let newline = |out: &mut String| {
            if indent.is_some() {
                out.push('\n');
            }
        };
        let pad = |out: &mut String| out.extend(std::iter::repeat_n("  ", indent.unwrap_or(0)));
        pad(out);
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attrs {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(value, out);
            out.push('"');
        }
        if self.children.is_empty() {
            out.push_str("/>");
            newline(out);
            return;
        }
        out.push('>');
        newline(out);
        for child in &self.children {
            let inner = indent.map(|indent| indent + 1);
            match child {
                Node::Element(element) => element.write(out, inner),
                Node::Comment(text) => {
                    out.extend(std::iter::repeat_n("  ", inner.unwrap_or(0)));
                    out.push_str("<!--");
                    out.push_str(text);
                    out.push_str("-->");
                    newline(out);
                }
            }
        }
        pad(out);
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
        newline(out);
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render_pretty())
    }
}

fn convert(node: roxmltree::Node<'_, '_>, depth: usize) -> Result<Element, XmlError> {
    if depth > MAX_XML_DEPTH {
        return Err(XmlError::TooDeep);
    }
    let name = node.tag_name().name().to_owned();
    let unsupported = |what| XmlError::Unsupported { element: name.clone(), what };
    if node.tag_name().namespace().is_some() || node.attributes().any(|attr| attr.namespace().is_some()) {
        return Err(unsupported("a namespace"));
    }
    let attrs = node.attributes().map(|attr| (attr.name().to_owned(), attr.value().to_owned())).collect();
    let mut children = Vec::new();
    for child in node.children() {
        match child.node_type() {
            roxmltree::NodeType::Element => children.push(Node::Element(convert(child, depth + 1)?)),
            roxmltree::NodeType::Comment => {
                children.push(Node::Comment(child.text().unwrap_or_default().to_owned()));
            }
            roxmltree::NodeType::Text => {
                if !child.text().unwrap_or_default().trim().is_empty() {
                    return Err(unsupported("text"));
                }
            }
            roxmltree::NodeType::PI => return Err(unsupported("a processing instruction")),
            roxmltree::NodeType::Root => {}
        }
    }
    Ok(Element { name, attrs, children })
}

/// Writes an attribute's value so that a parser reads it back as it is, blanks included.
fn escape(value: &str, out: &mut String) {
    let mut rest = value;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\n', '\r', '\t']) {
        out.push_str(&rest[..at]);
        let mut chars = rest[at..].chars();
        match chars.next() {
            Some('&') => out.push_str("&amp;"),
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('"') => out.push_str("&quot;"),
            Some('\n') => out.push_str("&#10;"),
            Some('\r') => out.push_str("&#13;"),
            Some('\t') => out.push_str("&#9;"),
            _ => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// Why Pacemaker cannot keep a value, if so.
///
/// Beyond what XML itself forbids: `crm_xml_escape()` of Pacemaker 2.1 writes a line break as `\n` and a tab as four
/// spaces, so that such a value never comes back as it was sent; and it stops escaping at the first character outside
/// ASCII, so that a `"`, `<`, `>` or `&` after one ends up as broken XML in `cib.xml`.
pub(super) fn unstorable(text: &str) -> Option<&'static str> {
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}')) {
        return Some("a line break, tab or other control character");
    }
    let special = |text: &str| text.contains(['"', '<', '>', '&']);
    match text.find(|c: char| !c.is_ascii()) {
        Some(at) if special(&text[at..]) => Some("one of \" < > & after a character outside ASCII"),
        _ => None,
    }
}

/// Whether the text can be an `id` (an XML `NCName`, in ASCII).
#[must_use]
pub fn is_valid_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
