//! Files of the machine that runs hactl that an inventory names in a barclamp's attributes.
//!
//! In: attributes that are valid. Out: the same with the content of each file in the place of its name, or a mistake with
//! the place in the inventory. Only text, and only so much of it as a plan can carry.

use std::io::Read as _;

use camino::Utf8Path;
use serde_json::Value;

use crate::barclamp::Registry;
use crate::inventory::{Diagnostic, Loaded};
use crate::names::BarclampName;
use crate::secrets::has_marker;

/// Largest file that is read, in bytes: it goes whole into the plan.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Puts the content of every file that is named in the attributes of a barclamp into the place of its name.
pub(super) fn read(
    loaded: &Loaded,
    registry: &Registry,
    name: &BarclampName,
    place: &str,
    attributes: &mut Value,
) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for (pointer, path) in registry.local_files(name, attributes) {
        let whole = format!("{place}{pointer}");
        let path = loaded.spans.base(&whole).map_or_else(|| path.clone().into(), |base| base.join(&path));
        match (text_of(&path), attributes.pointer_mut(&pointer)) {
            (Ok(text), Some(value)) => *value = Value::String(text),
            (Err(why), _) => {
                let message = format!("the file {path} cannot be used: {why}");
                mistakes.push(loaded.spans.diagnostic(&whole, "local-file", message));
            }
            // The place was found in these very attributes.
            (Ok(_), None) => {}
        }
    }
    mistakes
}

fn text_of(path: &Utf8Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let kind = file.metadata().map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not text in UTF-8".to_owned())?;
    if text.contains('\0') || has_marker(&text) {
        return Err("it has characters that cannot be used in a text".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        text_of(Utf8Path::from_path(&path).unwrap())
    }

    #[test]
    fn only_a_text_of_a_bounded_size_is_read() {
        assert_eq!(file("a\nö".as_bytes()).unwrap(), "a\nö");
        assert_eq!(file(b"a\xff").unwrap_err(), "it is not text in UTF-8");
        assert!(file(b"a\0b").unwrap_err().contains("cannot be used"));
        let large = vec![b'x'; usize::try_from(MAX_FILE_BYTES).unwrap() + 1];
        assert_eq!(file(&large).unwrap_err(), "it is larger than 1048576 bytes");
        assert_eq!(file(&large[1..]).unwrap().len(), large.len() - 1);
        assert_eq!(text_of(Utf8Path::new("/proc")).unwrap_err(), "it is not a regular file");
        assert!(text_of(Utf8Path::new("/nowhere")).unwrap_err().contains("No such file"));
    }
}
