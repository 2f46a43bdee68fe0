//! Kernel modules: sysfs, and the list of those built in.

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError};
use super::script::quote;
use crate::facts::{Observation, Query};

const NAME: &str = "kernel modules";

/// Looks at these modules. The observation is the text `loaded` or `builtin`, or none.
pub(super) struct ModuleProbe(pub(super) Vec<String>);

impl Probe for ModuleProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        let names = self.0.iter().map(|name| quote(&canonical(name))).collect::<Vec<_>>().join(" ");
        // A loaded module has an initstate; one that is built in has a folder only if it has parameters or a
        // version, and is otherwise found in the list. A kernel without a list has no modules to build in.
        format!(
            "[ -d /sys/module ] || {{ echo 'there is no /sys/module' >&2; exit 1; }}\n\
             read -r release </proc/sys/kernel/osrelease || exit 1\n\
             list=/lib/modules/$release/modules.builtin\n\
             for module in {names}; do\n\
             \x20 if [ -e \"/sys/module/$module/initstate\" ]; then echo \"loaded $module\"\n\
             \x20 elif [ -d \"/sys/module/$module\" ]; then echo \"builtin $module\"\n\
             \x20 else set -- \"$@\" -e \"/$module.ko\"; fi\n\
             done\n\
             [ $# -eq 0 ] || [ ! -e \"$list\" ] || tr - _ <\"$list\" | grep -F \"$@\" || [ $? -eq 1 ]"
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?;
        let state = |name: &str| {
            let name = canonical(name);
            let listed = text.lines().find_map(|line| {
                let (state, module) = line.split_once(' ')?;
                (module == name && matches!(state, "loaded" | "builtin")).then(|| state.to_owned())
            });
            let file = format!("/{name}.ko");
            listed.or_else(|| text.lines().any(|line| line.ends_with(&file)).then(|| "builtin".to_owned()))
        };
        Ok(self
            .0
            .iter()
            .map(|name| (Query::Module { name: name.clone() }, Observation::Text(state(name))))
            .collect())
    }
}

/// The kernel writes every dash in a module's name as an underscore.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}
