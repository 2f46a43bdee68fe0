//! Whether the rest of a cluster can go on without a node. Pure.

use super::Refusal;
use crate::corosync::QuorumStatus;
use crate::names::NodeName;

/// Judges by corosync's own count of votes (votequorum(5)): with `two_node` one vote of two is enough, a quorum
/// device's vote stays with the survivors.
///
/// # Errors
/// The votes would not be enough, or are not known.
pub fn keeps_quorum(status: &QuorumStatus, victim: &NodeName) -> Result<(), Refusal> {
    if status.has_flag("2Node") {
        return Ok(());
    }
    let member = status.members.iter().find(|member| member.name == victim.as_str());
    let (Some(total), Some(needed), Some(votes)) =
        (status.total_votes, status.quorum, member.and_then(|member| member.votes))
    else {
        return Err(Refusal::Unknown {
            node: victim.clone(),
            why: "corosync does not tell how many votes it has, and how many are needed".to_owned(),
        });
    };
    let left = total.saturating_sub(votes);
    if left >= needed { Ok(()) } else { Err(Refusal::Quorum { victim: victim.clone(), left, needed }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corosync::parse_quorum_status;

    fn status(votes: u32, needed: u32, flags: &str) -> QuorumStatus {
        let members: String =
            (1..=votes).map(|id| format!("         {id}          1         NR n{id}\n")).collect();
        parse_quorum_status(&format!(
            "Quorum information\n------------------\nNodes:            {votes}\nNode ID:          1\nQuorate:          Yes\n\n\
             Votequorum information\n----------------------\nExpected votes:   {votes}\nHighest expected: {votes}\n\
             Total votes:      {votes}\nQuorum:           {needed}\nFlags:            {flags}\n\nMembership information\n\
             ----------------------\n    Nodeid      Votes    Qdevice Name\n{members}"
        ))
        .unwrap()
    }

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[test]
    fn three_nodes_can_lose_one_and_two_only_with_two_node() {
        assert_eq!(keeps_quorum(&status(3, 2, "Quorate"), &node("n2")), Ok(()));
        assert_eq!(keeps_quorum(&status(2, 1, "2Node Quorate WaitForAll"), &node("n2")), Ok(()));
        let refused = Refusal::Quorum { victim: node("n2"), left: 1, needed: 2 };
        assert_eq!(keeps_quorum(&status(2, 2, "Quorate"), &node("n2")), Err(refused));
    }

    #[test]
    fn a_node_that_corosync_does_not_count_is_not_cut() {
        assert!(matches!(keeps_quorum(&status(3, 2, "Quorate"), &node("n9")), Err(Refusal::Unknown { .. })));
    }
}
