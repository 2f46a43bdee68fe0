//! Reading and atomically replacing files on a node, by means of the commands every node has.
//!
//! In: a transport's `exec`, a path, a file image. Out: the content, or a replaced file. Never leaves a
//! half-written file under the target's name, nor a temporary one behind.

use bytes::Bytes;
use camino::Utf8Path;

use super::{
    Command, DEFAULT_COMMAND_TIMEOUT, ExitStatus, FileImage, Output, Secrecy, Transport, TransportError,
};
use crate::names::NodeName;

/// How the read script says that there is no such file.
const EXIT_ABSENT: u32 = 66;
/// How the replace script says that the folder is missing.
const EXIT_NO_FOLDER: u32 = 67;
/// How the replace script says that less arrived than was sent.
const EXIT_SHORT: u32 = 68;
/// Slowest link that a file is still sent over, for the time limit.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;

/// Writes a file to stdout. Absent is only what can be seen to be absent: every folder on the way down to
/// the first missing name must be searchable, or the answer is an error.
const READ: &str = r#"
path=$1
if [ -e "$path" ] || [ -L "$path" ]; then exec cat -- "$path"; fi
folder=$path
while :; do
    folder=${folder%/*}
    if [ -z "$folder" ]; then folder=/; fi
    if [ -e "$folder" ] || [ -L "$folder" ]; then break; fi
done
if [ -d "$folder" ] && [ -x "$folder" ]; then exit 66; fi
echo "cannot look into $folder" >&2
exit 1
"#;

/// Puts stdin in place of a file: temporary file beside it, owner, mode, fsync, rename, fsync of the folder
/// (`sync FILE` is fsync(2): coreutils manual, "sync invocation").
const REPLACE: &str = r#"
set -eu
umask 077
path=$1 owner=$2 mode=$3 size=$4
folder=${path%/*}
if [ -z "$folder" ]; then folder=/; fi
if [ ! -d "$folder" ]; then echo "the folder $folder does not exist" >&2; exit 67; fi
if [ -d "$path" ]; then echo "$path is a folder" >&2; exit 1; fi
new=
trap 'if [ -n "$new" ]; then rm -f -- "$new"; fi' EXIT
trap 'exit 1' HUP INT TERM PIPE
new=$(mktemp -- "$folder/.${path##*/}.hactl.XXXXXX")
cat > "$new"
got=$(wc -c < "$new")
if [ "$got" -ne "$size" ]; then echo "$got of $size bytes arrived" >&2; exit 68; fi
chown -- "$owner" "$new"
chmod -- "$mode" "$new"
sync -- "$new"
mv -fT -- "$new" "$path"
new=
sync -- "$folder"
"#;

fn script(text: &str, arguments: impl IntoIterator<Item = String>) -> Command {
    Command::new(["/bin/sh", "-c", text, "hactl"].map(str::to_owned).into_iter().chain(arguments))
}

fn failed(node: &NodeName, attempted: String, reason: impl Into<String>) -> TransportError {
    TransportError::Failed { node: node.clone(), attempted, reason: reason.into() }
}

fn require_absolute(node: &NodeName, attempted: &str, path: &Utf8Path) -> Result<(), TransportError> {
    if path.is_absolute() && path.file_name().is_some() && !path.as_str().ends_with('/') {
        return Ok(());
    }
    Err(failed(node, attempted.to_owned(), "the path must be absolute and name a file"))
}

/// What a failed helper said, in one line.
fn reason(output: &Output) -> String {
    let text = output.stderr_text();
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    if said.is_empty() { output.status.to_string() } else { said }
}

/// [`Transport::read`] in terms of [`Transport::exec`].
pub(super) async fn read<T>(transport: &T, path: &Utf8Path) -> Result<Option<Bytes>, TransportError>
where
    T: Transport + ?Sized,
{
    let attempted = format!("read {path}");
    require_absolute(transport.node(), &attempted, path)?;
    let command = script(READ, [path.to_string()]).secret();
    let output = transport.exec(&command).await.map_err(|error| error.of_command(&attempted))?;
    match output.status {
        ExitStatus::Code(0) => Ok(Some(output.stdout)),
        ExitStatus::Code(EXIT_ABSENT) => Ok(None),
        _ => Err(failed(transport.node(), attempted, reason(&output))),
    }
}

/// [`Transport::replace`] in terms of [`Transport::exec`].
pub(super) async fn replace<T>(transport: &T, file: &FileImage) -> Result<(), TransportError>
where
    T: Transport + ?Sized,
{
    let attempted = format!("replace {}", file.path);
    require_absolute(transport.node(), &attempted, &file.path)?;
    let arguments = [
        file.path.to_string(),
        format!("{}:{}", file.owner, file.group),
        format!("{:04o}", file.mode & 0o7777),
        file.content.len().to_string(),
    ];
    let transfer_s = file.content.len() as u64 / SLOWEST_BYTES_PER_SECOND;
    let mut command = script(REPLACE, arguments)
        .stdin(file.content.clone())
        .timeout(DEFAULT_COMMAND_TIMEOUT + std::time::Duration::from_secs(transfer_s));
    if file.secrecy == Secrecy::Secret {
        command = command.secret();
    }
    let output = transport.exec(&command).await.map_err(|error| error.of_command(&attempted))?;
    let folder = file.path.parent().unwrap_or(Utf8Path::new("/"));
    let said = reason(&output);
    let why = match output.status {
        ExitStatus::Code(0) => return Ok(()),
        ExitStatus::Code(EXIT_NO_FOLDER) => format!("the folder {folder} does not exist on the node"),
        ExitStatus::Code(EXIT_SHORT) => format!("{said}; the old file is untouched"),
        _ if said.contains("No space left on device") => {
            format!("no space left in {folder}: free some there; the old file is untouched")
        }
        _ => said,
    };
    Err(failed(transport.node(), attempted, why))
}
