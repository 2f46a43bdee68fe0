//! Host name and kernel: uname(1).

use super::probe::{Answer, Probe, ProbeError, malformed};
use crate::facts::Kernel;

const NAME: &str = "uname";

/// Runs `uname -n -r -m`, which prints the three in this order on one line.
pub(super) struct UnameProbe;

/// What uname knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Uname {
    /// The node's name for itself.
    pub(super) hostname: String,
    /// Its kernel.
    pub(super) kernel: Kernel,
}

impl Probe for UnameProbe {
    type Fact = Uname;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        "uname -n -r -m".to_owned()
    }

    fn parse(&self, answer: &Answer) -> Result<Uname, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let [hostname, release, machine] = words[..] else {
            return Err(malformed(NAME, format!("`{text}` is not a name, a release and a machine")));
        };
        Ok(Uname {
            hostname: hostname.to_owned(),
            kernel: Kernel { release: release.to_owned(), machine: machine.to_owned() },
        })
    }
}
