//! A directory that is to live on a volume: what it is now, what is in it, who uses it, whether the volume is mounted.
//!
//! Read-only. What is in it is listed only while it is a directory still: once it is the link, one look is enough.

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError};
use super::script::quote;
use crate::facts::{Observation, Query, SeededQuery};

const NAME: &str = "a directory for a volume";

/// `$dir` and `$mount` are set. One `key value` per line.
const LOOK: &str = r#"
if [ -L "$dir" ]; then printf 'link %s\n' "$(readlink -- "$dir")"
elif [ -d "$dir" ]; then echo directory
elif [ -e "$dir" ]; then echo other
else echo absent; fi
if [ -e "$dir.before-hactl" ]; then echo aside; fi
if mountpoint -q -- "$mount" 2>/dev/null; then echo mounted; fi
if [ -d "$dir" ] && [ ! -L "$dir" ]; then
    awk -v dir="$dir" 'index($5, dir "/") == 1 || $5 == dir { print "below", $5 }' /proc/self/mountinfo
    list=$(cd -- "$dir" && LC_ALL=C find . ! -name . \( -type f -printf '%P f %s\n' -o -printf '%P %y %l\n' \) | LC_ALL=C sort) || exit 1
    if [ -n "$list" ]; then printf 'entries %s\n' "$(printf '%s\n' "$list" | wc -l)"; else echo 'entries 0'; fi
    printf 'listing %s\n' "$(printf '%s\n' "$list" | sha256sum | cut -d ' ' -f 1)"
    find /proc/[0-9]*/fd /proc/[0-9]*/cwd -maxdepth 1 \( -lname "$dir" -o -lname "$dir/*" \) 2>/dev/null |
        awk -F/ '!seen[$3]++ { print $3 }' | while read -r pid; do
            name=$(cat "/proc/$pid/comm" 2>/dev/null) && printf 'user %s %s\n' "$pid" "$name"
        done
fi
:"#;

/// Asks about one directory.
pub(super) struct SeededProbe(pub(super) SeededQuery);

impl Probe for SeededProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        format!("dir={}\nmount={}\n{LOOK}", quote(self.0.directory.as_str()), quote(self.0.mount.as_str()))
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?.to_owned();
        Ok(Observations::from([(Query::Seeded(self.0.clone()), Observation::Text(Some(text)))]))
    }
}
