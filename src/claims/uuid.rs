//! The UUID of what is put on a claimed device.

use sha2::{Digest as _, Sha256};

use crate::facts::StableId;
use crate::names::{ClusterName, NodeName};

/// The UUID for what this claim's user puts on the device: the same whenever it is asked for, another one for every
/// other claim. Version 8 of RFC 9562 (section 5.8: 122 bits of one's own choice, here of a SHA-256 digest).
#[must_use]
pub fn derived_uuid(cluster: &ClusterName, node: &NodeName, purpose: &str, identity: &StableId) -> String {
    of_parts(&["hactl claim", cluster.as_str(), node.as_str(), purpose, &identity.to_string()])
}

/// The UUID for what is replicated between the devices of this purpose: the same on every node.
#[must_use]
pub fn common_uuid(cluster: &ClusterName, purpose: &str) -> String {
    of_parts(&["hactl volume", cluster.as_str(), purpose])
}

fn of_parts(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    // Lengths keep two different claims from giving the same bytes.
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_from_the_claim_and_from_nothing_else() {
        let cluster = ClusterName::new("lab").unwrap();
        let node = |name: &str| NodeName::new(name).unwrap();
        let wwn = |wwn: &str| StableId::Wwn { wwn: wwn.to_owned() };
        let uuid = |name, purpose, id| derived_uuid(&cluster, &node(name), purpose, &wwn(id));
        let one = uuid("alpha", "filesystem:data", "0x5");
        assert_eq!(one, uuid("alpha", "filesystem:data", "0x5"));
        assert_ne!(one, uuid("beta", "filesystem:data", "0x5"));
        assert_ne!(one, uuid("alpha", "filesystem:date", "0x5"));
        assert_ne!(one, uuid("alpha", "filesystem:data", "0x6"));
        assert_eq!(one.len(), 36);
        assert_eq!((&one[14..15], "89ab".contains(&one[19..20])), ("8", true), "{one}");
    }
}
