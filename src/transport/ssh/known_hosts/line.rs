//! One line of a known_hosts file.
//!
//! In: text. Out: which hosts it speaks about, which key, and what it says about it. Never reads a file.

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use sha1::Sha1;

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// The hosts have this key.
    Key,
    /// Certificates of the hosts are signed with this key.
    Authority,
    /// Nobody may use this key, nor a certificate signed with it.
    Revoked,
}

/// A line that could be read.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) marker: Marker,
    patterns: HostPatterns,
    pub(super) key: PublicKey,
}

/// A line that could not, and how bad that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) reason: String,
    /// Whether skipping it could let a revoked key through.
    pub(super) dangerous: bool,
}

impl Line {
    /// Reads a line; `None` for an empty one or a comment.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, BadLine> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        let mut fields = text.split_whitespace();
        let mut hosts = fields.next().unwrap_or_default();
        let marker = match hosts {
            "@cert-authority" => Marker::Authority,
            "@revoked" => Marker::Revoked,
            other if other.starts_with('@') => {
                return Err(BadLine { reason: format!("unknown marker `{other}`"), dangerous: true });
            }
            _ => Marker::Key,
        };
        let bad = |reason: &str| BadLine { reason: reason.to_owned(), dangerous: marker == Marker::Revoked };
        if marker != Marker::Key {
            hosts = fields.next().ok_or_else(|| bad("no host after the marker"))?;
        }
        let patterns = hosts.parse().map_err(|_| bad("the host field cannot be read"))?;
        let (Some(kind), Some(blob)) = (fields.next(), fields.next()) else {
            return Err(bad("there must be a host, a key type and a key"));
        };
        let key = PublicKey::from_openssh(&format!("{kind} {blob}"))
            .map_err(|error| bad(&format!("the key cannot be read ({error})")))?;
        Ok(Some(Self { marker, patterns, key }))
    }

    /// Whether the line speaks about a host of this name (`host` or `[host]:port`, lower case).
    pub(super) fn is_about(&self, name: &str) -> bool {
        match &self.patterns {
            HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(name.as_bytes()).verify_slice(hash).is_ok()),
            HostPatterns::Patterns(patterns) => matches_any(patterns, name),
        }
    }

    /// Whether it names the host in plain text or hashed, not by a wildcard.
    pub(super) fn names_exactly(&self) -> bool {
        match &self.patterns {
            HostPatterns::HashedName { .. } => true,
            HostPatterns::Patterns(patterns) => patterns.iter().all(|pattern| !pattern.contains(['*', '?'])),
        }
    }
}

/// A list of patterns as in OpenSSH's `match_pattern_list`: one must match, and no negated one may.
pub(super) fn matches_any<S: AsRef<str>>(patterns: &[S], name: &str) -> bool {
    let mut found = false;
    for pattern in patterns.iter().map(AsRef::as_ref) {
        match pattern.strip_prefix('!') {
            Some(negated) if glob(&negated.to_ascii_lowercase(), name) => return false,
            Some(_) => {}
            None => found |= glob(&pattern.to_ascii_lowercase(), name),
        }
    }
    found
}

/// Whether `*` (any characters) and `?` (any one) make the pattern the name. Linear in memory, and at most
/// quadratic in time: the last `*` is the only one that has to be tried again.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((star_p, star_n)) => {
                    star = Some((star_p, star_n + 1));
                    p = star_p + 1;
                    n = star_n + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn line(hosts: &str) -> Line {
        Line::parse(&format!("{hosts} {KEY} a comment # with a hash")).unwrap().unwrap()
    }

    #[test]
    fn patterns_match_as_in_openssh() {
        for (hosts, name, expected) in [
            ("alpha", "alpha", true),
            ("alpha", "beta", false),
            ("Alpha,192.0.2.1", "192.0.2.1", true),
            ("ALPHA", "alpha", true),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org,!bad.example.org", "bad.example.org", false),
            ("!bad.example.org,*", "bad.example.org", false),
            ("!bad.example.org", "other", false),
            ("n?de", "node", true),
            ("[alpha]:2222", "[alpha]:2222", true),
            ("[alpha]:2222", "alpha", false),
            ("[*.example.org]:22??", "[a.example.org]:2222", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(line(hosts).is_about(name), expected, "{hosts} {name}");
        }
    }

    #[test]
    fn hashed_names_match_as_ssh_keygen_makes_them() {
        // `echo "alpha KEY" > f; ssh-keygen -H -f f` (OpenSSH 9.2).
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        std::fs::write(&path, format!("alpha,[beta]:2222 {KEY}\n")).unwrap();
        let made = std::process::Command::new("ssh-keygen").arg("-H").arg("-f").arg(&path).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Line> = text.lines().map(|line| Line::parse(line).unwrap().unwrap()).collect();
        let found = |name| lines.iter().any(|line| line.is_about(name));
        assert!(
            text.starts_with("|1|") && found("alpha") && found("[beta]:2222") && !found("beta"),
            "{text}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_or_refused(text in "(@revoked |@cert-authority )?[ -~é|,!*?]{0,40}( ssh-ed25519 [A-Za-z0-9+/=]{0,40})?") {
            let _ = Line::parse(&text);
        }

        #[test]
        fn a_pattern_matches_as_its_naive_meaning(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            proptest::prop_assert_eq!(glob(&pattern, &name), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }

    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], _) => name.is_empty(),
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| naive(rest, &name[skip..])),
            ([c, rest @ ..], [n, others @ ..]) => (*c == b'?' || c == n) && naive(rest, others),
            (_, []) => false,
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert!(Line::parse("# comment").unwrap().is_none() && Line::parse("  ").unwrap().is_none());
        assert!(!Line::parse("alpha ssh-ed25519").unwrap_err().dangerous);
        assert!(!Line::parse("alpha ssh-ed25519 AAAA").unwrap_err().dangerous);
        assert!(Line::parse("@revoked alpha ssh-ed25519 AAAA").unwrap_err().dangerous);
        assert!(Line::parse("@unknown alpha ssh-ed25519 AAAA").unwrap_err().dangerous);
        assert_eq!(line("@revoked *").marker, Marker::Revoked);
        assert_eq!(line("@cert-authority *.example.org").marker, Marker::Authority);
    }
}
