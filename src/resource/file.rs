//! A file whose whole content is ours.

use camino::Utf8PathBuf;

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::facts::{Digest, FileState, Observation, Query};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check, Guard};
use crate::secrets::{has_marker, masked};

/// A regular file with the content, mode and owner that are wanted.
#[derive(Debug, Clone)]
pub struct ManagedFile {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// Absolute path.
    pub path: Utf8PathBuf,
    /// Content, secrets as markers.
    pub content: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner's name.
    pub owner: String,
    /// Group's name.
    pub group: String,
    /// A command that must accept a candidate (`{}`) on the node.
    pub validate: Option<Vec<String>>,
}

impl ManagedFile {
    /// The query that judges a file with this content.
    fn query(&self) -> Query {
        Query::File { path: self.path.clone(), text: true }
    }

    fn blocked(&self, reason: String, advice: &str) -> Blocked {
        Blocked {
            resource: self.id.clone(),
            node: Some(self.node.clone()),
            reason,
            advice: advice.to_owned(),
        }
    }

    /// The step that puts the content in place of what was seen, if they differ.
    ///
    /// # Errors
    /// A secret is not known, or the file could not be judged.
    pub fn diff_with(
        &self,
        seen: &Observation,
        context: &DiffContext<'_>,
    ) -> Result<Option<(Steps<'_>, String, String)>, Blocked> {
        let state = match seen {
            Observation::File(state) => state.as_ref(),
            Observation::Unknown(why) => {
                return Err(self.blocked(
                    format!("{} could not be looked at: {why}", self.path),
                    "see why and run again",
                ));
            }
            _ => {
                return Err(self.blocked(
                    format!("{} was not looked at as a file", self.path),
                    "this is a defect of hactl",
                ));
            }
        };
        let revealed = context
            .secrets
            .reveal(&self.content)
            .map_err(|error| self.blocked(error.to_string(), "define the secret in the inventory"))?;
        let wanted = Digest::of(revealed.as_bytes());
        if state.is_some_and(|state| state.digest == wanted && self.permissions_match(state)) {
            return Ok(None);
        }
        let (summary, diff) = self.difference(state, &wanted, context);
        let mut steps = Steps::of(&self.id);
        steps.push(&self.node, "replace", self.action(), &[]);
        // A package that the plan installs first may bring an example of the file.
        let brought = state.is_none() && self.requires.iter().any(|id| context.pending.contains(id));
        if !brought {
            let digest = state.map(|state| state.digest.clone());
            steps.guard(Guard::File { path: self.path.clone(), digest });
        }
        let known = (!has_marker(&self.content)).then_some(wanted);
        steps.proof(
            known.map_or(Check::Done, |digest| Check::File { path: self.path.clone(), digest: Some(digest) }),
        );
        Ok(Some((steps, summary, diff)))
    }

    fn action(&self) -> Action {
        Action::ReplaceFile {
            path: self.path.clone(),
            content: self.content.clone(),
            mode: self.mode,
            owner: self.owner.clone(),
            group: self.group.clone(),
            validate: self.validate.clone(),
            shared: false,
        }
    }

    fn permissions_match(&self, state: &FileState) -> bool {
        state.mode == self.mode && state.owner == self.owner && state.group == self.group
    }

    fn difference(
        &self,
        state: Option<&FileState>,
        wanted: &Digest,
        context: &DiffContext<'_>,
    ) -> (String, String) {
        let Some(state) = state else {
            return (format!("create {}", self.path), text_diff("", &masked(&self.content)));
        };
        let mut diff = String::new();
        if !self.permissions_match(state) {
            diff.push_str(&format!(
                "-{:04o} {}:{}\n+{:04o} {}:{}\n",
                state.mode, state.owner, state.group, self.mode, self.owner, self.group
            ));
        }
        if state.digest != *wanted {
            match &state.text {
                Some(text) => diff.push_str(&text_diff(&context.secrets.hide(text), &masked(&self.content))),
                None => diff.push_str("(the present content is not text or too large to show)\n"),
            }
            return (format!("change {}", self.path), diff);
        }
        (format!("change mode or owner of {}", self.path), diff)
    }
}

impl Resource for ManagedFile {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        vec![(self.node.clone(), self.query())]
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let seen = context.observed(&self.node, &self.query());
        Ok(match self.diff_with(&seen, context)? {
            None => Change::None,
            Some((steps, summary, diff)) => steps.change(summary, diff),
        })
    }
}

/// A unified diff without file headers; empty when the texts are equal.
#[must_use]
pub(super) fn text_diff(old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(2).to_string()
}
