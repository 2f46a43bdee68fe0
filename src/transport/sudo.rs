//! Becoming root on a node through sudo, and telling sudo's refusal from the command's own failure.
//!
//! In: an argument vector, and what comes back on stderr. Out: the vector that runs it as root, and the
//! moments at which the password is due, the command has started, or sudo has refused. Never logs or
//! quotes the password, and never sends it unless sudo asks for it.
//!
//! sudo has no exit code of its own (sudo(8): "1 if there is a configuration/permission problem"), so the
//! command is started by a small shell which first writes [`STARTED`] to stderr: whatever comes before the
//! mark is sudo's, whatever follows is the command's.

use std::sync::Arc;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

/// What sudo is told to print when it wants the password.
const PROMPT: &str = "[hactl: password for sudo]";
/// What the command's shell prints on stderr once it runs as root.
const STARTED: &str = "[hactl: running as root]\n";
/// The shell that announces itself and becomes the command. sudo clears the environment: what the transport
/// had put there is set again.
const ANNOUNCE: &str = "printf '%s\\n' '[hactl: running as root]' >&2; \
                        export LC_ALL=C.UTF-8 HACTL_COMMAND=\"$0\"; exec \"$@\"";
/// Most bytes that sudo may say (its lecture, warnings) before the command starts.
const MAX_SUDO_TEXT_BYTES: usize = 64 * 1024;
/// What a shell exits with when there is no such program (POSIX.1-2017, XCU 2.8.2).
const EXIT_NOT_FOUND: u32 = 127;

/// How a login that is not root becomes root.
#[derive(Clone, Debug, Default)]
pub enum Sudo {
    /// It does not: privileged commands are refused unless the login is root.
    #[default]
    No,
    /// `sudo -n`: the login may use sudo without a password.
    Passwordless,
    /// `sudo -S`: sudo asks for this password.
    Password(Arc<SecretString>),
}

impl Sudo {
    /// Asks sudo with this password.
    #[must_use]
    pub fn with_password(password: SecretString) -> Self {
        Self::Password(Arc::new(password))
    }

    /// The vector that runs this one as root, with this tag in its environment (`HACTL_COMMAND`), or `None`
    /// when nothing can.
    pub(super) fn wrap(&self, argv: &[String], tag: &str) -> Option<Vec<String>> {
        let sudo: &[&str] = match self {
            Self::No => return None,
            Self::Passwordless => &["sudo", "-n", "--"],
            Self::Password(_) => &["sudo", "-S", "-p", PROMPT, "--"],
        };
        let shell = ["/bin/sh", "-c", ANNOUNCE, tag];
        Some(sudo.iter().chain(&shell).map(|&word| word.to_owned()).chain(argv.iter().cloned()).collect())
    }
}

/// What the gate wants done after a piece of stderr.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Nothing yet.
    Wait,
    /// Send this line: sudo asked for the password.
    Answer(Bytes),
    /// The command runs; this much of stderr is its own.
    Open(Bytes),
    /// sudo does not let us through, for this reason.
    Refused(String),
}

/// Stands before a command's stderr until the command itself has started.
pub(super) struct Gate {
    sudo: Sudo,
    text: Vec<u8>,
    asked: bool,
}

impl Gate {
    pub(super) fn new(sudo: Sudo) -> Self {
        Self { sudo, text: Vec::new(), asked: false }
    }

    /// Takes the next piece of stderr.
    pub(super) fn stderr(&mut self, piece: &[u8]) -> Passage {
        self.text.extend_from_slice(piece);
        if let Some(at) = find(&self.text, STARTED.as_bytes()) {
            return Passage::Open(Bytes::copy_from_slice(&self.text[at + STARTED.len()..]));
        }
        if let Some(at) = find(&self.text, PROMPT.as_bytes()) {
            self.text.drain(at..at + PROMPT.len());
            return self.password_wanted();
        }
        if self.text.len() > MAX_SUDO_TEXT_BYTES {
            return Passage::Refused(format!(
                "sudo said more than {MAX_SUDO_TEXT_BYTES} bytes and ran nothing"
            ));
        }
        Passage::Wait
    }

    fn password_wanted(&mut self) -> Passage {
        let Sudo::Password(password) = &self.sudo else {
            return Passage::Refused(self.refusal(None));
        };
        if self.asked {
            return Passage::Refused(
                "sudo does not accept the password that was given for this node".to_owned(),
            );
        }
        self.asked = true;
        let mut line = password.expose_secret().as_bytes().to_vec();
        line.push(b'\n');
        Passage::Answer(Bytes::from_owner(zeroize::Zeroizing::new(line)))
    }

    /// Why nothing was run, when the whole ended before the gate opened.
    pub(super) fn refusal(&self, exit_code: Option<u32>) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if exit_code == Some(EXIT_NOT_FOUND) && said.contains("not found") {
            return format!("sudo is not installed there ({said}): install it or log in as root");
        }
        let advice = match (&self.sudo, said.as_str()) {
            (_, said) if said.contains("not in the sudoers") || said.contains("not allowed") => {
                "allow the login to run everything with sudo (a file in /etc/sudoers.d) or log in as root"
            }
            (_, said) if said.contains("must have a tty") => {
                "remove `requiretty` for this login from sudoers, or log in as root"
            }
            (Sudo::Passwordless, _) => {
                "give hactl the sudo password, or allow NOPASSWD in sudoers, or log in as root"
            }
            _ => "check the sudo password and the node's sudoers",
        };
        let said = if said.is_empty() { "sudo ran nothing and said nothing" } else { &said };
        format!("{said}; {advice}")
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password() -> Sudo {
        Sudo::with_password(SecretString::from("pa%ss".to_owned()))
    }

    #[test]
    fn opens_at_the_mark_wherever_the_pieces_are_cut() {
        let whole = format!("sudo: unable to resolve host x\n{STARTED}own");
        for cut in 0..whole.len() - 3 {
            let mut gate = Gate::new(Sudo::Passwordless);
            let (first, second) = whole.as_bytes().split_at(cut);
            let passage = match gate.stderr(first) {
                Passage::Wait => gate.stderr(second),
                Passage::Open(_) => continue,
                other => panic!("{other:?}"),
            };
            assert_eq!(passage, Passage::Open(Bytes::from_static(b"own")), "cut at {cut}");
        }
    }

    #[test]
    fn the_password_is_sent_once_and_only_when_asked_for() {
        let mut gate = Gate::new(password());
        assert_eq!(gate.stderr(b"We trust you have received the usual lecture\n"), Passage::Wait);
        assert_eq!(gate.stderr(PROMPT.as_bytes()), Passage::Answer(Bytes::from_static(b"pa%ss\n")));
        assert_eq!(gate.stderr(b"Sorry, try again.\n"), Passage::Wait);
        let Passage::Refused(why) = gate.stderr(PROMPT.as_bytes()) else { panic!("asked twice") };
        assert!(why.contains("does not accept the password") && !why.contains("pa%ss"), "{why}");
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let mut gate = Gate::new(Sudo::Passwordless);
        assert_eq!(gate.stderr(b"sudo: a password is required\n"), Passage::Wait);
        assert!(gate.refusal(Some(1)).contains("NOPASSWD"));
        let mut gate = Gate::new(password());
        gate.stderr(b"op is not in the sudoers file.\n");
        assert!(gate.refusal(Some(1)).contains("/etc/sudoers.d"));
        let mut gate = Gate::new(Sudo::Passwordless);
        gate.stderr(b"bash: line 1: exec: sudo: not found\n");
        assert!(gate.refusal(Some(127)).contains("not installed"));
    }

    #[test]
    fn nothing_wraps_without_sudo() {
        assert_eq!(Sudo::No.wrap(&["id".to_owned()], "tag"), None);
        let argv = password().wrap(&["id".to_owned()], "tag").unwrap();
        assert_eq!(argv.last().map(String::as_str), Some("id"));
        assert!(!argv.iter().any(|word| word.contains("pa%ss")));
    }
}
