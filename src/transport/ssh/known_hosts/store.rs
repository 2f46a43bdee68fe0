//! All known_hosts files of a connection, and what they say about a host's key or certificate.
//!
//! In: files, a host's name, the key it showed. Out: accepted, or why not and what to do. Never writes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};

use super::line::{Line, Marker, matches_any};
use crate::transport::ssh::settings::DEFAULT_PORT;

/// Largest known_hosts file that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The name under which a host's keys are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transport::ssh) struct HostName {
    bare: String,
    full: String,
}

impl HostName {
    /// `host`, or `[host]:port` when the port is not 22.
    pub(in crate::transport::ssh) fn new(host: &str, port: u16) -> Self {
        let bare = host.to_ascii_lowercase();
        let full = if port == DEFAULT_PORT { bare.clone() } else { format!("[{bare}]:{port}") };
        Self { bare, full }
    }

    /// As it is written in known_hosts.
    pub(in crate::transport::ssh) fn as_str(&self) -> &str {
        &self.full
    }
}

/// Why a host is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transport::ssh) enum Unacceptable {
    /// Nothing is known about it: it may be accepted as new.
    Unknown(String),
    /// What is known speaks against it.
    Refused(String),
}

#[derive(Debug, Clone)]
struct Entry {
    file: Arc<Utf8Path>,
    number: usize,
    line: Line,
}

impl Entry {
    fn place(&self) -> String {
        format!("{}:{}", self.file, self.number)
    }
}

/// The lines of all files, in order.
#[derive(Debug, Clone, Default)]
pub(in crate::transport::ssh) struct KnownHosts {
    files: Vec<Utf8PathBuf>,
    entries: Vec<Entry>,
    /// Lines that were skipped, with their place and the reason.
    skipped: Vec<String>,
}

impl KnownHosts {
    /// Reads the files; one that does not exist holds nothing.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that cannot and might have revoked a key.
    pub(in crate::transport::ssh) fn load(files: &[Utf8PathBuf]) -> Result<Self, String> {
        let mut known = Self { files: files.to_vec(), ..Self::default() };
        for file in files {
            let text = match read(file) {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(error) => return Err(format!("cannot read the known hosts in {file}: {error}")),
            };
            known.add(file, &text)?;
        }
        Ok(known)
    }

    fn add(&mut self, file: &Utf8Path, text: &str) -> Result<(), String> {
        let file: Arc<Utf8Path> = Arc::from(file);
        for (index, text) in text.lines().enumerate() {
            let number = index + 1;
            match Line::parse(text) {
                Ok(Some(line)) => self.entries.push(Entry { file: file.clone(), number, line }),
                Ok(None) => {}
                Err(bad) if bad.dangerous => {
                    return Err(format!("{file}:{number}: {}; correct or remove the line", bad.reason));
                }
                Err(bad) => self.skipped.push(format!("{file}:{number}: {}", bad.reason)),
            }
        }
        Ok(())
    }

    fn about<'a>(&'a self, name: &'a str, marker: Marker) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.line.marker == marker && entry.line.is_about(name))
    }

    /// Key algorithms known for the host, so that it is asked for a key which can be compared.
    pub(in crate::transport::ssh) fn algorithms(&self, name: &HostName) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for entry in self.keys(name) {
            let algorithm = entry.line.key.algorithm();
            if !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
        }
        algorithms
    }

    /// Whether certificates of this host can be checked.
    pub(in crate::transport::ssh) fn has_authority(&self, name: &HostName) -> bool {
        self.about(&name.full, Marker::Authority).next().is_some()
            || self.about(&name.bare, Marker::Authority).next().is_some()
    }

    /// The host's keys; those without a port only when there is none with it, as ssh(1) does.
    fn keys<'a>(&'a self, name: &'a HostName) -> Vec<&'a Entry> {
        let full: Vec<_> = self.about(&name.full, Marker::Key).collect();
        if full.is_empty() && name.full != name.bare {
            self.about(&name.bare, Marker::Key).collect()
        } else {
            full
        }
    }

    /// Judges a plain key.
    ///
    /// # Errors
    /// It is unknown, another one is known, or it is revoked.
    pub(in crate::transport::ssh) fn check_key(
        &self,
        name: &HostName,
        key: &PublicKey,
    ) -> Result<(), Unacceptable> {
        self.check_not_revoked(name, key.key_data(), "the host's key")?;
        let known = self.keys(name);
        if known.iter().any(|entry| entry.line.key.key_data() == key.key_data()) {
            return Ok(());
        }
        let shown = describe(key);
        let same_name = |entry: &&&Entry| entry.line.names_exactly();
        match known.iter().find(same_name).or(known.first()) {
            Some(entry) => Err(Unacceptable::Refused(format!(
                "the host now shows {shown}, but {} names another key ({}): someone may be in between, or the host \
                 was installed anew; if you know it was, remove the old key with `ssh-keygen -R '{}' -f {}`",
                entry.place(),
                describe(&entry.line.key),
                name.full,
                entry.file,
            ))),
            None => Err(Unacceptable::Unknown(self.unknown(&shown))),
        }
    }

    fn unknown(&self, shown: &str) -> String {
        let files = self.files.iter().map(|file| file.as_str()).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "nothing is known about it in {files}; it shows {shown}: compare that with the host's own \
             (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), then add it with \
             `ssh-keyscan` or run once with --accept-new-host-keys",
        );
        if let Some(first) = self.skipped.first() {
            let count = self.skipped.len();
            text.push_str(&format!(" ({count} line(s) could not be read, the first is {first})"));
        }
        text
    }

    fn check_not_revoked(&self, name: &HostName, key: &KeyData, what: &str) -> Result<(), Unacceptable> {
        let names = [name.full.as_str(), name.bare.as_str()];
        let revoked = names.iter().find_map(|name| {
            self.about(name, Marker::Revoked).find(|entry| entry.line.key.key_data() == key)
        });
        match revoked {
            None => Ok(()),
            Some(entry) => Err(Unacceptable::Refused(format!(
                "{what} is marked as revoked in {}: do not connect; give the host a new key first",
                entry.place()
            ))),
        }
    }

    /// Judges a host certificate; one by an unknown authority counts for the key it holds, as in ssh(1).
    ///
    /// # Errors
    /// As [`Self::check_key`], or the certificate of a known authority is not valid here and now.
    pub(in crate::transport::ssh) fn check_certificate(
        &self,
        name: &HostName,
        certificate: &Certificate,
        now: SystemTime,
    ) -> Result<(), Unacceptable> {
        let authority = certificate.signature_key();
        self.check_not_revoked(name, certificate.public_key(), "the host's key")?;
        self.check_not_revoked(name, authority, "the authority of the host's certificate")?;
        let names = [name.full.as_str(), name.bare.as_str()];
        let trusted = names.iter().find_map(|name| {
            self.about(name, Marker::Authority).find(|entry| entry.line.key.key_data() == authority)
        });
        let Some(entry) = trusted else {
            return self.check_key(name, &PublicKey::new(certificate.public_key().clone(), ""));
        };
        check_validity(name, certificate, now).map_err(|reason| {
            Unacceptable::Refused(format!(
                "its certificate `{}` by the authority in {} {reason}",
                certificate.key_id(),
                entry.place()
            ))
        })
    }
}

/// The checks of ssh(1) on a host certificate (PROTOCOL.certkeys, "New public key formats").
fn check_validity(name: &HostName, certificate: &Certificate, now: SystemTime) -> Result<(), String> {
    let now_s =
        now.duration_since(UNIX_EPOCH).map_err(|_| "cannot be checked: the clock is before 1970")?.as_secs();
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    if certificate.cert_type() != CertType::Host {
        return Err("is not a host certificate".to_owned());
    }
    if certificate.verify_signature().is_err() {
        return Err("is not signed by that authority".to_owned());
    }
    if now_s < certificate.valid_after() {
        return Err("is not valid yet: compare the clocks".to_owned());
    }
    if now_s >= certificate.valid_before() {
        return Err("has expired: sign the host's key again".to_owned());
    }
    if certificate.validate_at(now_s, [&authority]).is_err() {
        return Err("is not valid".to_owned());
    }
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Err(format!("has the critical option `{option}`, which is unknown"));
    }
    let principals = certificate.valid_principals();
    // Without principals a certificate is for every host (ssh-keygen(1), `-n`).
    if principals.is_empty() || matches_any(principals, &name.bare) {
        return Ok(());
    }
    Err(format!("is for {}, not for `{}`: sign it with `-n {}`", principals.join(", "), name.bare, name.bare))
}

fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

fn read(file: &Utf8Path) -> std::io::Result<Option<String>> {
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if metadata.len() > MAX_FILE_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    // A comment may be in any encoding; hosts and keys are ASCII.
    Ok(Some(String::from_utf8_lossy(&std::fs::read(file)?).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::PrivateKey;

    fn key(seed: u8) -> PublicKey {
        let pair = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]);
        PrivateKey::from(pair).public_key().clone()
    }

    fn text(key: &PublicKey) -> String {
        key.to_openssh().unwrap()
    }

    fn known(lines: &[String]) -> KnownHosts {
        let mut known = KnownHosts::default();
        known.add(Utf8Path::new("/known"), &lines.join("\n")).unwrap();
        known
    }

    #[test]
    fn known_changed_unknown_and_revoked() {
        let hosts = known(&[
            format!("alpha {}", text(&key(1))),
            format!("[alpha]:2222 {}", text(&key(2))),
            format!("@revoked * {}", text(&key(3))),
            format!("* {}", text(&key(3))),
        ]);
        let alpha = HostName::new("Alpha", 22);
        assert_eq!(hosts.check_key(&alpha, &key(1)), Ok(()));
        assert_eq!(hosts.check_key(&HostName::new("alpha", 2222), &key(2)), Ok(()));
        assert_eq!(hosts.algorithms(&alpha), [Algorithm::Ed25519]);
        let Err(Unacceptable::Refused(why)) = hosts.check_key(&HostName::new("alpha", 2222), &key(1)) else {
            panic!("a key of another port was accepted")
        };
        assert!(why.contains("/known:2") && why.contains("ssh-keygen -R '[alpha]:2222'"), "{why}");
        let Err(Unacceptable::Refused(why)) = hosts.check_key(&alpha, &key(3)) else { panic!("revoked") };
        assert!(why.contains("revoked in /known:3"), "{why}");
    }

    #[test]
    fn a_key_without_a_port_counts_only_when_there_is_none_with_it() {
        let hosts = known(&[format!("alpha {}", text(&key(1)))]);
        assert_eq!(hosts.check_key(&HostName::new("alpha", 2222), &key(1)), Ok(()));
    }

    #[test]
    fn unknown_names_the_skipped_lines() {
        let hosts = known(&["beta ssh-ed25519 x".to_owned()]);
        let Err(Unacceptable::Unknown(why)) = hosts.check_key(&HostName::new("alpha", 22), &key(1)) else {
            panic!("accepted")
        };
        assert!(why.contains("/known:1") && why.contains("--accept-new-host-keys"), "{why}");
    }

    #[test]
    fn a_broken_revocation_is_not_skipped() {
        let mut hosts = KnownHosts::default();
        let error = hosts.add(Utf8Path::new("/known"), "\n@revoked * ssh-ed25519 x").unwrap_err();
        assert!(error.starts_with("/known:2"), "{error}");
    }
}
