//! Packages: dpkg-query(1).

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError, brief};
use super::script::quote;
use crate::facts::{Observation, PackageState, Query};

const NAME: &str = "dpkg-query";
/// Time limit in seconds.
const LIMIT_S: u32 = 20;

/// Looks at these packages.
pub(super) struct PackageProbe(pub(super) Vec<String>);

impl Probe for PackageProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        let names = self.0.iter().map(|name| quote(name)).collect::<Vec<_>>().join(" ");
        format!(
            "within {LIMIT_S} dpkg-query -W -f '${{Package}}\\t${{db:Status-Status}}\\t${{Version}}\\n' -- {names}"
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        // 1: some packages are not known, which is said for each on stderr.
        if answer.status > 1 {
            return Err(answer.failure(NAME));
        }
        let text = answer.text(NAME)?;
        let observe = |name: &String| {
            let known: Vec<_> = text.lines().filter_map(|line| package(line, name)).collect();
            if known.is_empty() && !unknown_to_dpkg(name, &answer.stderr) {
                return Observation::Unknown(format!(
                    "{name}: {NAME} did not answer: {}",
                    brief(&answer.stderr)
                ));
            }
            // With several architectures the one that is complete counts.
            let mut installed = known.into_iter().flatten().collect::<Vec<_>>();
            installed.sort_by_key(|state| !state.configured);
            Observation::Package(installed.into_iter().next())
        };
        Ok(self.0.iter().map(|name| (Query::Package { name: name.clone() }, observe(name))).collect())
    }
}

/// The state that a line gives to this package: `Some(None)` when dpkg only remembers it.
fn package(line: &str, name: &str) -> Option<Option<PackageState>> {
    let mut words = line.split('\t');
    let (found, status, version) = (words.next()?, words.next()?, words.next()?);
    if found != name {
        return None;
    }
    let state = |configured| Some(PackageState { version: version.to_owned(), configured });
    Some(match status {
        "not-installed" | "config-files" => None,
        // A package whose own triggers are pending satisfies dependencies (dpkg(1)).
        "installed" | "triggers-pending" => state(true),
        _ => state(false),
    })
}

fn unknown_to_dpkg(name: &str, stderr: &str) -> bool {
    stderr.lines().any(|line| line.strip_prefix("dpkg-query: no packages found matching ") == Some(name))
}
