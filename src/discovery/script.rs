//! Renders the questions of one round trip as one POSIX shell script.
//!
//! In: questions (name and lines of shell) and a boundary that nobody can guess. Out: the script. The script
//! writes no file; each question runs in a subshell, so that none can disturb the next, and is framed by lines
//! that begin with the boundary (read back by [`super::frames`]).

use std::fmt::Write as _;

use rand::Rng as _;

use super::Probe;
use crate::transport;

/// Most bytes of stderr that a frame carries.
const STDERR_LIMIT_BYTES: usize = 64 * 1024;

/// What the script does first. `timeout` is coreutils'; where there is none, only the transport's limit holds.
const PRELUDE: &str = "\
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TZ=UTC
export PATH LC_ALL TZ
exec 3>&1 </dev/null
limited=; command -v timeout >/dev/null 2>&1 && limited=1
within() { if [ \"$limited\" ]; then timeout -k 1 \"$@\"; else shift; \"$@\"; fi; }
";

/// A question: who asks, and the lines of shell that do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// [`Probe::name`].
    pub(super) probe: &'static str,
    /// [`Probe::command`].
    pub(super) lines: String,
}

impl Question {
    /// The question of this probe.
    pub(super) fn of<P: Probe + ?Sized>(probe: &P) -> Self {
        Self { probe: probe.name(), lines: probe.command() }
    }
}

/// What marks the frames of one run: 128 random bits, so that no output can contain it by design or accident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Boundary(String);

impl Boundary {
    /// A new one.
    pub(super) fn random() -> Self {
        Self(format!("@hactl-{:032x}", rand::rng().random::<u128>()))
    }

    /// The boundary as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn fixed(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The script that asks all these questions, in order.
pub(super) fn render(questions: &[Question], boundary: &Boundary) -> String {
    let mut script = String::from(PRELUDE);
    // Writing to a String cannot fail.
    let _ = writeln!(script, "b={}", boundary.as_str());
    script.push_str("o() { printf '\\n%s o %s\\n' \"$b\" \"$1\"; }\n");
    let _ = writeln!(
        script,
        "e() {{ printf '\\n%s e %s %s\\n%.{STDERR_LIMIT_BYTES}s' \"$b\" \"$1\" \"$2\" \"$3\"; }}"
    );
    for (index, question) in questions.iter().enumerate() {
        let _ = write!(
            script,
            "o {index}\nx=$( {{\n{}\n}} 2>&1 >&3 )\ne {index} \"$?\" \"$x\"\n",
            question.lines
        );
    }
    script.push_str("printf '\\n%s z\\n' \"$b\"\n");
    script
}

/// A word of the script that stands for exactly this text; for a text with a NUL, which no argument can hold, one
/// that stands for nothing that exists.
pub(super) fn quote(text: &str) -> String {
    transport::quote(&[text]).unwrap_or_else(|_| "''".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_survives_the_shell() {
        for text in ["", "a b", "it's", "$(reboot)", "`x`", "a\nb", "\\", "\"", "ü", "*", "~", "-n", "a=b"] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quote(text))])
                .output()
                .expect("sh runs");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }

    #[test]
    fn no_two_runs_share_a_boundary() {
        assert_ne!(Boundary::random(), Boundary::random());
    }
}
