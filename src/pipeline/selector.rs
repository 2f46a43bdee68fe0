//! Which nodes a run is about: `NODE`, `GLOB*`, `@ROLE`, separated by commas.

use std::collections::BTreeSet;
use std::str::FromStr;

use globset::{Glob, GlobMatcher};

use crate::inventory::{Inventory, Node};
use crate::names::{NodeName, RoleName};

/// A word of `--on` that cannot be read, or that no node matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Neither a name, nor a pattern, nor a role.
    #[error("`{word}` selects no nodes: {why}")]
    Word {
        /// The word.
        word: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing in the inventory matches.
    #[error("`{word}` matches no node of the inventory (which has {})", names.join(", "))]
    NoMatch {
        /// The word.
        word: String,
        /// The nodes that there are.
        names: Vec<String>,
    },
}

#[derive(Debug, Clone)]
enum Word {
    Role(RoleName),
    Pattern(GlobMatcher),
}

impl Word {
    fn matches(&self, node: &Node) -> bool {
        match self {
            Self::Role(role) => node.roles.contains(role),
            Self::Pattern(pattern) => pattern.is_match(node.name.as_str()),
        }
    }
}

/// A selection of nodes; the default selects all.
#[derive(Debug, Clone, Default)]
pub struct NodeSelector {
    words: Vec<(String, Word)>,
}

impl FromStr for NodeSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut words = Vec::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let fail = |why: String| SelectorError::Word { word: word.to_owned(), why };
            let parsed = match word.strip_prefix('@') {
                Some(role) => Word::Role(RoleName::new(role).map_err(|error| fail(error.to_string()))?),
                None => {
                    Word::Pattern(Glob::new(word).map_err(|error| fail(error.to_string()))?.compile_matcher())
                }
            };
            words.push((word.to_owned(), parsed));
        }
        // An empty variable in somebody's script must not become "all nodes".
        if words.is_empty() {
            let why = "it is empty; leave --on out to select all".to_owned();
            return Err(SelectorError::Word { word: text.to_owned(), why });
        }
        Ok(Self { words })
    }
}

impl NodeSelector {
    /// Whether every node is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.words.is_empty()
    }

    /// The nodes that are meant.
    ///
    /// # Errors
    /// A word matches nothing.
    pub fn select(&self, inventory: &Inventory) -> Result<BTreeSet<NodeName>, SelectorError> {
        let nodes: Vec<&Node> =
            inventory.clusters.values().flat_map(|cluster| cluster.nodes.values()).collect();
        if self.is_all() {
            return Ok(nodes.into_iter().map(|node| node.name.clone()).collect());
        }
        let mut selected = BTreeSet::new();
        for (word, matcher) in &self.words {
            let before = selected.len();
            let matching = nodes.iter().filter(|node| matcher.matches(node)).map(|node| node.name.clone());
            let matching: Vec<NodeName> = matching.collect();
            if matching.is_empty() && selected.len() == before {
                let names = nodes.iter().map(|node| node.name.to_string()).collect();
                return Err(SelectorError::NoMatch { word: word.clone(), names });
            }
            selected.extend(matching);
        }
        Ok(selected)
    }
}
