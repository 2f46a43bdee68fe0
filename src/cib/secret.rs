//! Secrets in the CIB: named in everything that is kept or shown, spelled out only in what is sent.
//!
//! In: an attribute value that holds the marker of a secret (fence agents' passwords, mostly). Out: the same value
//! with the marker, for plans and patches; with the secret, at the last moment; or with asterisks, for people. A
//! marker is a secret's name between two characters of Unicode's private use area, which XML can carry and nobody
//! types.

use crate::secrets::replace_markers;
pub use crate::secrets::{MASK, UnknownSecret, has_marker, marker};

/// Looks up a secret by name. `None`: it is not known here.
pub type Reveal<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A [`Reveal`] that knows no secret.
#[must_use]
pub const fn nothing(_: &str) -> Option<String> {
    None
}

/// The value with its secrets spelled out.
///
/// # Errors
/// Names the first secret that `reveal` does not know.
pub fn revealed(value: &str, reveal: Reveal<'_>) -> Result<String, UnknownSecret> {
    replace_markers(value, |name| reveal(name).ok_or_else(|| UnknownSecret(name.to_owned())))
}

/// The value with the names of its secrets in place of them.
#[must_use]
pub fn masked(value: &str) -> String {
    let named = |name: &str| Ok::<_, std::convert::Infallible>(format!("(secret {name})"));
    match replace_markers(value, named) {
        Ok(text) => text,
        Err(never) => match never {},
    }
}

/// Whether a value found in a live CIB is the wanted one.
#[must_use]
pub(super) fn same_value(live: &str, wanted: &str, reveal: Reveal<'_>) -> bool {
    if !has_marker(wanted) {
        return live == wanted;
    }
    // A marker on both sides: two desired states are compared.
    live == wanted || revealed(wanted, reveal).is_ok_and(|wanted| wanted == live)
}

/// Whether the value of a parameter with this name must not be shown: `passwd`, `login_passwd`, `shared_secret`,
/// `auth_key`, `snmp_auth_prot`, `identity_key`, `token`, `community` …
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if ["passw", "passphrase", "secret", "credential"].iter().any(|part| name.contains(part)) {
        return true;
    }
    name.split(['_', '-', '.', ':'])
        .any(|word| matches!(word, "pass" | "pwd" | "auth" | "token" | "community") || word.ends_with("key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_stands_for_its_secret() {
        let value = format!("user:{}@{}", marker("ipmi"), marker("host"));
        let know = |name: &str| (name == "ipmi").then(|| "s3cret".to_owned());
        assert_eq!(revealed(&value, &know), Err(UnknownSecret("host".to_owned())));
        assert_eq!(revealed(&value, &|name| Some(name.to_uppercase())), Ok("user:IPMI@HOST".to_owned()));
        assert_eq!(masked(&value), "user:(secret ipmi)@(secret host)");
        assert!(same_value("s3cret", &marker("ipmi"), &know));
        assert!(!same_value("other", &marker("ipmi"), &know));
        assert!(!same_value("s3cret", &marker("unknown"), &know));
    }

    #[test]
    fn a_broken_marker_is_text() {
        let broken = "\u{E000}x".to_owned();
        assert_eq!(revealed(&broken, &nothing), Ok(broken.clone()));
    }

    #[test]
    fn names_of_secrets_are_recognised() {
        for name in [
            "passwd",
            "password",
            "Login_Passwd",
            "shared-secret",
            "auth",
            "auth_key",
            "sshkey",
            "pass",
            "token",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in
            ["ip", "passive", "monkeys", "authority", "directory", "compass", "keyboard", "tokens_max"]
        {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
