//! Whether the inventory gives up what is on a device.

use std::collections::BTreeSet;

use crate::facts::Signature;
use crate::inventory::WipeConsent;

/// The protective partition table that comes with a GPT, as wipefs names it: it holds nothing of its own.
const PROTECTIVE: &str = "PMBR";

/// What a claim must name so that all of this may be lost, each once.
pub(super) fn needed(signatures: &[Signature]) -> BTreeSet<String> {
    let gpt = signatures.iter().any(|signature| signature.kind == "gpt");
    let holds = |signature: &&Signature| !(gpt && signature.kind == PROTECTIVE);
    signatures.iter().filter(holds).map(Signature::consent).collect()
}

/// Whether the claim names everything that is there. One thing that it does not name keeps all of it.
pub(super) fn covers(consents: &[WipeConsent], signatures: &[Signature]) -> bool {
    let named = |wanted: &String| {
        consents.iter().any(|consent| {
            wanted
                .split_once('/')
                .is_some_and(|(kind, uuid)| consent.kind == kind && consent.uuid.eq_ignore_ascii_case(uuid))
        })
    };
    !signatures.is_empty() && needed(signatures).iter().all(named)
}

/// The value of `wipe` that would give up all of this.
pub(super) fn yaml(signatures: &[Signature]) -> String {
    let quoted: Vec<String> = needed(signatures).into_iter().map(|one| format!("\"{one}\"")).collect();
    match quoted.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: &str, uuid: Option<&str>) -> Signature {
        Signature { offset: None, kind: kind.to_owned(), uuid: uuid.map(str::to_owned), label: None }
    }

    fn consent(kind: &str, uuid: &str) -> WipeConsent {
        WipeConsent { kind: kind.to_owned(), uuid: uuid.to_owned() }
    }

    #[test]
    fn consent_names_all_that_is_there() {
        let ext4 = found("ext4", Some("3f1c"));
        assert!(covers(&[consent("ext4", "3F1C")], std::slice::from_ref(&ext4)), "case of a UUID");
        assert!(!covers(&[consent("ext4", "3f1d")], std::slice::from_ref(&ext4)), "another UUID");
        assert!(!covers(&[consent("xfs", "3f1c")], std::slice::from_ref(&ext4)), "another type");
        assert!(!covers(&[], std::slice::from_ref(&ext4)), "no consent");
        assert!(!covers(&[consent("ext4", "3f1c")], &[]), "nothing to consent to");
        let both = [ext4, found("swap", None)];
        assert!(!covers(&[consent("ext4", "3f1c")], &both), "a second signature");
        assert!(covers(&[consent("ext4", "3f1c"), consent("swap", "none")], &both));
        assert_eq!(yaml(&both), "[\"ext4/3f1c\", \"swap/none\"]");
    }

    #[test]
    fn a_protective_table_needs_no_word_of_its_own_beside_its_gpt() {
        let table = [found("gpt", Some("aa")), found(PROTECTIVE, None)];
        assert!(covers(&[consent("gpt", "aa")], &table));
        assert!(!covers(&[consent("gpt", "aa")], &[found(PROTECTIVE, None)]));
    }
}
