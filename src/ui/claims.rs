//! The ledgers of claims, as a table.

use super::table::{Columns, Tone, cell};
use super::{Theme, size};
use crate::pipeline::ClaimList;

/// Every claimed device, a row each; nodes of which nothing is known below.
#[must_use]
pub fn claims_text(list: &ClaimList, theme: Theme) -> String {
    let mut columns =
        Columns::new(&["NODE", "PURPOSE", "DEVICE", "IDENTITY", "SIZE", "HOLDS", "CLUSTER"], theme);
    let mut rows = 0_usize;
    for node in &list.nodes {
        for claim in &node.claims {
            let (device, tone) = match &claim.path {
                Some(path) => (path.as_str(), Tone::Plain),
                None => ("missing", Tone::Warning),
            };
            let holds: Vec<&str> = claim.entry.expects.iter().map(|one| one.kind.as_str()).collect();
            columns.row(vec![
                cell(node.node.as_str(), Tone::Plain),
                cell(&claim.purpose, Tone::Plain),
                cell(device, tone),
                cell(claim.entry.identity.to_string(), Tone::Plain),
                cell(size(claim.entry.size_bytes), Tone::Plain),
                cell(holds.join(", "), Tone::Plain),
                cell(&claim.entry.cluster, Tone::Plain),
            ]);
            rows += 1;
        }
    }
    let mut text = if rows == 0 { "No device is claimed.\n".to_owned() } else { columns.text(0) };
    for node in &list.nodes {
        if let Some(problem) = &node.problem {
            text.push_str(&format!(
                "{}: {}: {}\n",
                theme.alarm("not known"),
                node.node,
                super::diff::printable(problem)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{ClaimEntry, ExpectedSignature, StableId};
    use crate::names::NodeName;
    use crate::pipeline::{CLAIM_LIST_FORMAT, ListedClaim, NodeClaims};

    fn node(name: &str, claims: Vec<ListedClaim>, problem: Option<&str>) -> NodeClaims {
        let problem = problem.map(str::to_owned);
        NodeClaims { node: NodeName::new(name).unwrap(), claims, unreachable: problem.is_some(), problem }
    }

    fn claim(path: Option<&str>) -> ListedClaim {
        ListedClaim {
            purpose: "filesystem:data".to_owned(),
            path: path.map(str::to_owned),
            entry: ClaimEntry {
                cluster: "lab".to_owned(),
                identity: StableId::Wwn { wwn: "0x5".to_owned() },
                size_bytes: 1 << 30,
                expects: vec![ExpectedSignature { kind: "ext4".to_owned(), uuid: None }],
            },
        }
    }

    #[test]
    fn every_claim_has_a_row_and_what_is_not_known_is_told() {
        let nodes = vec![
            node("alpha", vec![claim(Some("/dev/sdb"))], None),
            node("beta", vec![claim(None)], None),
            node("gamma", Vec::new(), Some("connection refused")),
        ];
        let text = claims_text(&ClaimList { format: CLAIM_LIST_FORMAT, nodes }, Theme::new(false));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["NODE", "PURPOSE", "DEVICE", "IDENTITY", "SIZE", "HOLDS", "CLUSTER"]);
        assert_eq!(
            lines[1],
            ["alpha", "filesystem:data", "/dev/sdb", "wwn", "0x5", "1.0", "GiB", "ext4", "lab"]
        );
        assert_eq!(lines[2][..3], ["beta", "filesystem:data", "missing"]);
        assert_eq!(text.lines().nth(3), Some("not known: gamma: connection refused"));
    }

    #[test]
    fn an_empty_list_says_so() {
        let list = ClaimList { format: CLAIM_LIST_FORMAT, nodes: vec![node("alpha", Vec::new(), None)] };
        assert_eq!(claims_text(&list, Theme::new(false)), "No device is claimed.\n");
    }
}
