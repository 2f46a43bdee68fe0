//! What a resource's status means for the cluster as a whole.

use super::status::ResourceStatus;

impl ResourceStatus {
    /// Whether it is a fencing device.
    #[must_use]
    pub fn is_fencing(&self) -> bool {
        self.agent.starts_with("stonith:")
    }

    /// Whether it is configured to run, and is Pacemaker's to run.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.orphaned && self.managed && self.target_role.as_deref() != Some("Stopped")
    }
}
