//! From a reference to the secret itself, on the machine that runs hactl.
//!
//! In: a reference and the place it stands at. Out: a value that is wiped from memory and never printed, or an error
//! that names reference and place. Never logs, never stores, never runs a shell.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use camino::Utf8Path;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::secret::SecretRef;
use super::source::Position;

/// Most bytes of a secret.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;
/// Longest time that a command may take to print a secret.
pub const SECRET_COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Names the file with the key that decrypts `{ age: ... }` secrets.
pub const AGE_IDENTITY_VARIABLE: &str = "HACTL_AGE_IDENTITY";
/// Most bytes of a failing command's stderr that end up in the error.
const MAX_STDERR_BYTES: u64 = 2048;

/// A secret. Debug and Display show nothing of it; dropping it wipes it.
#[derive(Clone)]
pub struct SecretValue(SecretString);

impl SecretValue {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The secret itself. Do not let it outlive its use.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(***)")
    }
}

/// Why a secret is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("{}cannot get the secret from {reference}: {reason}", place.as_ref().map_or_else(String::new, |place| format!("{place}: ")))]
pub struct SecretError {
    /// Where it was to come from.
    pub reference: SecretRef,
    /// Where the reference stands in the inventory.
    pub place: Option<Position>,
    /// What went wrong.
    #[source]
    pub reason: SecretFailure,
}

/// What went wrong with a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFailure {
    /// The environment variable is not set.
    #[error("it is not set: export it before you run hactl")]
    NotSet,
    /// A file could not be read, or a program not be started.
    #[error("{0}")]
    Io(#[source] std::io::Error),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is larger than [`MAX_SECRET_BYTES`].
    #[error("it is larger than {MAX_SECRET_BYTES} bytes")]
    TooLarge,
    /// It is not UTF-8 or has a NUL byte.
    #[error("it is not text")]
    NotText,
    /// The program failed.
    #[error("{status}{}", if stderr.is_empty() { String::new() } else { format!(": {stderr}") })]
    Command {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The program did not end in time.
    #[error("it did not end within {} s", SECRET_COMMAND_TIMEOUT.as_secs())]
    Timeout,
    /// age needs a key.
    #[error("name the file with your age key in the environment variable {AGE_IDENTITY_VARIABLE}")]
    NoAgeIdentity,
    /// It is made on the nodes and exists there only.
    #[error("it is generated on the nodes and not known here")]
    OnNodesOnly,
}

/// Gets secrets from where the references say.
#[derive(Debug, Clone, Default)]
pub struct SecretResolver {
    age_identity: Option<String>,
}

impl SecretResolver {
    /// A resolver for this process: its environment, its file system, its `PATH`.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { age_identity: std::env::var(AGE_IDENTITY_VARIABLE).ok().filter(|path| !path.is_empty()) }
    }

    /// The secret that a reference stands for; `place` is where the reference stands, for the error.
    ///
    /// # Errors
    /// Names the reference, its place and what went wrong; never what was read. A generated secret is always an error
    /// here: it is known to the nodes only.
    pub async fn resolve(
        &self,
        reference: &SecretRef,
        place: Option<Position>,
    ) -> Result<SecretValue, SecretError> {
        let bytes = match reference {
            SecretRef::Env(name) => from_environment(name),
            SecretRef::File(path) => from_file(path).await,
            SecretRef::Command(argv) => from_command(argv).await,
            SecretRef::Age(path) => match &self.age_identity {
                Some(identity) => {
                    let argv = ["age", "--decrypt", "--identity", identity, "--", path.as_str()];
                    from_command(&argv.map(str::to_owned)).await
                }
                None => Err(SecretFailure::NoAgeIdentity),
            },
            SecretRef::Generated { .. } => Err(SecretFailure::OnNodesOnly),
        };
        bytes.and_then(text).map_err(|reason| SecretError { reference: reference.clone(), place, reason })
    }
}

type Bytes = Zeroizing<Vec<u8>>;

fn from_environment(name: &str) -> Result<Bytes, SecretFailure> {
    use std::os::unix::ffi::OsStringExt;
    std::env::var_os(name).map(|value| Zeroizing::new(value.into_vec())).ok_or(SecretFailure::NotSet)
}

async fn from_file(path: &Utf8Path) -> Result<Bytes, SecretFailure> {
    let file = tokio::fs::File::open(path).await.map_err(SecretFailure::Io)?;
    bounded(file).await
}

/// All that there is to read, unless it is more than a secret may be.
async fn bounded(reader: impl AsyncRead + Unpin) -> Result<Bytes, SecretFailure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    reader.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes).await.map_err(SecretFailure::Io)?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(SecretFailure::TooLarge);
    }
    Ok(bytes)
}

async fn from_command(argv: &[String]) -> Result<Bytes, SecretFailure> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(SecretFailure::Io(std::io::ErrorKind::InvalidInput.into()));
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(SecretFailure::Io)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    let streams = child.stdout.take().zip(child.stderr.take());
    let outcome = tokio::time::timeout(SECRET_COMMAND_TIMEOUT, async {
        let (stdout, stderr) =
            streams.ok_or_else(|| SecretFailure::Io(std::io::ErrorKind::BrokenPipe.into()))?;
        let mut complaints = Vec::new();
        let complain = async {
            let mut stderr = stderr;
            (&mut stderr)
                .take(MAX_STDERR_BYTES)
                .read_to_end(&mut complaints)
                .await
                .map_err(SecretFailure::Io)?;
            // The rest is read too, so that a talkative program does not wait for us.
            tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await.map_err(SecretFailure::Io)
        };
        let (bytes, _) = tokio::try_join!(bounded(stdout), complain)?;
        let status = child.wait().await.map_err(SecretFailure::Io)?;
        if status.success() {
            return Ok(bytes);
        }
        let stderr = String::from_utf8_lossy(&complaints).trim().escape_debug().to_string();
        Err(SecretFailure::Command { status, stderr })
    })
    .await
    .unwrap_or(Err(SecretFailure::Timeout));
    // What it started may still hold its output open; its group is gone when it ended well.
    if matches!(outcome, Err(SecretFailure::Timeout | SecretFailure::TooLarge))
        && let Some(group) = group
        && let Err(error) = rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
        && error != rustix::io::Errno::SRCH
    {
        return Err(SecretFailure::Io(error.into()));
    }
    outcome
}

/// The bytes as text without the line end at their end.
fn text(bytes: Bytes) -> Result<SecretValue, SecretFailure> {
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretFailure::NotText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains('\0') {
        return Err(SecretFailure::NotText);
    }
    if text.is_empty() {
        return Err(SecretFailure::Empty);
    }
    Ok(SecretValue::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(reference: SecretRef) -> Result<String, String> {
        let place = Position { source: "lab.yml".to_owned(), line: 3, column: 7 };
        let resolved = SecretResolver::default().resolve(&reference, Some(place)).await;
        resolved.map(|value| value.expose().to_owned()).map_err(|error| error.to_string())
    }

    fn command(argv: &[&str]) -> SecretRef {
        SecretRef::Command(argv.iter().map(|word| (*word).to_owned()).collect())
    }

    #[tokio::test]
    async fn takes_secrets_from_files_and_programs() {
        let folder = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(folder.path().join("secret")).unwrap();
        std::fs::write(&path, "from a file\r\n").unwrap();
        assert_eq!(resolve(SecretRef::File(path.clone())).await, Ok("from a file".to_owned()));
        assert_eq!(resolve(command(&["printf", "a b\\n"])).await, Ok("a b".to_owned()));
        // CARGO_PKG_NAME is set by cargo for every test.
        assert_eq!(resolve(SecretRef::Env("CARGO_PKG_NAME".to_owned())).await, Ok("hactl".to_owned()));
    }

    #[tokio::test]
    async fn failures_name_the_reference_and_the_place_but_not_the_value() {
        let error = resolve(SecretRef::Env("HACTL_NO_SUCH".to_owned())).await.unwrap_err();
        assert_eq!(
            error,
            "lab.yml:3:7: cannot get the secret from environment variable HACTL_NO_SUCH: it is not set: export it \
             before you run hactl"
        );
        let error =
            resolve(command(&["sh", "-c", "echo hunter2; echo wrong vault >&2; exit 3"])).await.unwrap_err();
        assert!(error.contains("wrong vault") && error.contains("exit status: 3"), "{error}");
        assert!(!error.starts_with("hunter2") && !error.contains("exit 3: hunter2"), "{error}");
        let error = resolve(command(&["/no/such/program"])).await.unwrap_err();
        assert!(error.contains("No such file"), "{error}");
        let error = resolve(SecretRef::Generated { bytes: 32 }).await.unwrap_err();
        assert!(error.contains("generated on the nodes"), "{error}");
        let error = resolve(SecretRef::Age("x.age".into())).await.unwrap_err();
        assert!(error.contains(AGE_IDENTITY_VARIABLE), "{error}");
    }

    #[tokio::test]
    async fn endless_and_empty_output_is_refused() {
        let error = resolve(command(&["sh", "-c", "yes | head -c 100000; sleep 60"])).await.unwrap_err();
        assert!(error.contains("larger than"), "{error}");
        let error = resolve(command(&["true"])).await.unwrap_err();
        assert!(error.contains("it is empty"), "{error}");
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", SecretValue::new("hunter2".to_owned())), "SecretValue(***)");
    }
}
