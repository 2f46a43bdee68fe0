//! One key file of the user.
//!
//! In: a file name, a source of passphrases. Out: the key ready to sign with, or its public half when it is
//! encrypted and cannot be opened (the agent may hold it), or why it cannot be used. Never logs key material.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use russh::keys::{Certificate, PrivateKey, PublicKey, decode_secret_key, load_openssh_certificate};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::context::PassphraseSource;

/// Largest key file that is read.
const MAX_KEY_FILE_BYTES: u64 = 256 * 1024;

/// A key file that exists.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) path: Utf8PathBuf,
    /// The public half; `None` when an encrypted file in an old format hides it.
    pub(super) public: Option<PublicKey>,
    /// The key, or why there is only its public half.
    pub(super) private: Result<Arc<PrivateKey>, String>,
    /// The certificate beside it (`FILE-cert.pub`), if there is one.
    pub(super) certificate: Option<Certificate>,
}

impl Identity {
    /// Reads a key file.
    ///
    /// # Errors
    /// There is no such file, or it is not a key that this build can use.
    pub(super) fn load(path: &Utf8Path, passphrases: &dyn PassphraseSource) -> Result<Self, String> {
        let text = read(path)?;
        if text.starts_with("ssh-") || text.starts_with("ecdsa-") {
            return Self::public_only(path, &text);
        }
        let beside = public_beside(path);
        let certificate_path = format!("{path}-cert.pub");
        let certificate = match Utf8Path::new(&certificate_path).exists() {
            true => Some(
                load_openssh_certificate(&certificate_path)
                    .map_err(|error| format!("{certificate_path} is not a certificate: {error}"))?,
            ),
            false => None,
        };
        let whole = |key: PrivateKey, private| Self {
            path: path.to_owned(),
            public: Some(key.public_key().clone()),
            private,
            certificate: certificate.clone(),
        };
        match decode_secret_key(&text, None) {
            Ok(key) => {
                refuse_rsa(path, &key)?;
                Ok(whole(key.clone(), Ok(Arc::new(key))))
            }
            Err(error) if !is_encrypted(&text, &error) => Err(unusable(path, &error)),
            Err(_) => {
                let public =
                    PrivateKey::from_openssh(text.as_bytes()).ok().map(|key| key.public_key().clone());
                Ok(Self {
                    path: path.to_owned(),
                    public: public.or(beside),
                    private: open(path, &text, passphrases),
                    certificate,
                })
            }
        }
    }

    /// A `.pub` file names a key of the agent.
    fn public_only(path: &Utf8Path, text: &str) -> Result<Self, String> {
        let public =
            PublicKey::from_openssh(text.trim()).map_err(|error| format!("{path} is not a key: {error}"))?;
        Ok(Self {
            path: path.to_owned(),
            public: Some(public),
            private: Err(format!("{path} is a public key and the agent does not hold its private half")),
            certificate: None,
        })
    }
}

fn read(path: &Utf8Path) -> Result<Zeroizing<String>, String> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no key file {path}"),
        _ => format!("cannot read the key file {path}: {error}"),
    };
    let size_bytes = std::fs::metadata(path).map_err(failed)?.len();
    if size_bytes > MAX_KEY_FILE_BYTES {
        return Err(format!("{path} is larger than any key file ({MAX_KEY_FILE_BYTES} bytes)"));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(failed)
}

fn public_beside(path: &Utf8Path) -> Option<PublicKey> {
    let text = std::fs::read_to_string(format!("{path}.pub")).ok()?;
    PublicKey::from_openssh(text.trim()).ok()
}

fn is_encrypted(text: &str, error: &russh::keys::Error) -> bool {
    matches!(error, russh::keys::Error::KeyIsEncrypted)
        || text.contains("ENCRYPTED")
        || PrivateKey::from_openssh(text.as_bytes()).is_ok_and(|key| key.is_encrypted())
}

fn open(path: &Utf8Path, text: &str, passphrases: &dyn PassphraseSource) -> Result<Arc<PrivateKey>, String> {
    let Some(passphrase) = passphrases.passphrase(path) else {
        return Err(format!("{path} is encrypted, no passphrase was given and the agent does not hold it"));
    };
    let key = decode_secret_key(text, Some(passphrase.expose_secret()))
        .map_err(|_| format!("the passphrase given for {path} does not open it"))?;
    refuse_rsa(path, &key)?;
    Ok(Arc::new(key))
}

fn unusable(path: &Utf8Path, error: &russh::keys::Error) -> String {
    match error {
        russh::keys::Error::UnsupportedKeyType { key_type_string, .. } if key_type_string == "RSA" => {
            no_rsa(path)
        }
        _ => format!("{path} is not a private key that can be used: {error}"),
    }
}

fn no_rsa(path: &Utf8Path) -> String {
    format!(
        "{path} is an RSA key, which this build does not use (RUSTSEC-2023-0071): make an Ed25519 key, load this \
         one into an agent, or build with `--features rsa`"
    )
}

fn refuse_rsa(path: &Utf8Path, key: &PrivateKey) -> Result<(), String> {
    if !cfg!(feature = "rsa") && key.algorithm().is_rsa() { Err(no_rsa(path)) } else { Ok(()) }
}
