//! Kernel modules and parameters.

use crate::apply::run::{Run, StepError};
use crate::plan::Step;
use crate::transport::Command;

/// Loads a module.
///
/// # Errors
/// modprobe refused: usually the running kernel does not carry the module.
pub(super) async fn load_module(step: &Step, run: &Run, name: &str) -> Result<(), StepError> {
    let command = Command::new(["modprobe", "--", name]);
    let advice = "install the package that carries the module for the running kernel, then run again";
    run.must(&step.node, &command, advice).await.map(|_| ())
}

/// Sets a parameter.
///
/// # Errors
/// The kernel refused the value.
pub(super) async fn set_sysctl(step: &Step, run: &Run, key: &str, value: &str) -> Result<(), StepError> {
    let command = Command::new(["sysctl", "-q", "-w", &format!("{key}={value}")]);
    run.must(&step.node, &command, "see that the parameter exists and takes the value").await.map(|_| ())
}
