//! When a node may become Primary, as far as it can tell by itself. A pure function; peers are asked afterwards.

use thiserror::Error;

use crate::config::Fencing;
use crate::ids::NodeId;
use crate::state::{DiskState, Role};

/// One peer as the promotion sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerView {
    /// Who.
    pub node: NodeId,
    /// It has a disk, as configured.
    pub diskful: bool,
    /// It is connected.
    pub connected: bool,
    /// Its handshake is not over.
    pub in_handshake: bool,
    /// Its role.
    pub role: Role,
    /// Its disk.
    pub disk: DiskState,
    /// Its data is older than the good data of the own disk, which is lost.
    pub older: bool,
    /// Connected, UpToDate, and every write goes both ways: no synchronisation goes on.
    pub in_sync: bool,
    /// Not connected, and known to be outdated or fenced.
    pub outdated: bool,
}

/// Why a promotion is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PromotionError {
    /// A peer is Primary.
    #[error("{0} is Primary; demote it first")]
    PeerIsPrimary(NodeId),
    /// A handshake goes on.
    #[error("the handshake with {0} is not over; try again")]
    Handshake(NodeId),
    /// No good data within reach.
    #[error("no UpToDate data: the own disk is {0}, and no connected peer is UpToDate")]
    NoData(DiskState),
    /// The good data within reach is not the newest.
    #[error("the own disk, which is gone, had newer data than {0}; attach it, or promote {0} by force")]
    OlderData(NodeId),
    /// Without quorum.
    #[error("no quorum")]
    NoQuorum,
    /// A peer might still be at work.
    #[error("{0} is not connected and not known to be outdated or fenced")]
    PeerNotFenced(NodeId),
    /// A node without a disk by intent breaks ties; it does not work with the data.
    #[error("this node has no disk by intent and cannot become Primary")]
    Tiebreaker,
    /// A peer refused.
    #[error("{node} refuses: {reason}")]
    Refused {
        /// Who.
        node: NodeId,
        /// Why.
        reason: &'static str,
    },
    /// A peer was lost while it was asked.
    #[error("the connection to {0} changed during the promotion; try again")]
    ConnectionLost(NodeId),
    /// The change of state that goes on must end first.
    #[error("another change of state goes on")]
    Busy,
}

/// What the node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotionView {
    /// Own disk.
    pub disk: DiskState,
    /// No disk by intent.
    pub tiebreaker: bool,
    /// Quorum.
    pub quorum: bool,
    /// Fencing.
    pub fencing: Fencing,
    /// A second Primary is allowed.
    pub two_primaries: bool,
    /// By force: good data, quorum and fencing do not count. A Primary or a handshake in sight still does.
    pub force: bool,
    /// Peers.
    pub peers: Vec<PeerView>,
}

/// Whether the node may ask its peers to become Primary. [`PromotionError::PeerNotFenced`] comes last: the fence-peer
/// handler may yet mend it.
///
/// # Errors
/// The first reason against it.
pub fn may_promote(view: &PromotionView) -> Result<(), PromotionError> {
    if view.tiebreaker {
        return Err(PromotionError::Tiebreaker);
    }
    for peer in view.peers.iter().filter(|peer| peer.connected) {
        // A second one joins the first, with the same data on both sides: force is no help there.
        let may_join = view.two_primaries && peer.in_sync && view.disk == DiskState::UpToDate;
        if peer.role == Role::Primary && !may_join {
            return Err(PromotionError::PeerIsPrimary(peer.node));
        }
        if peer.in_handshake {
            return Err(PromotionError::Handshake(peer.node));
        }
    }
    if view.force && view.disk.has_data() {
        return Ok(());
    }
    // A Consistent disk becomes UpToDate by the promotion: quorum or fencing vouch for it.
    let own = matches!(view.disk, DiskState::UpToDate | DiskState::Consistent);
    let mut remote = view.peers.iter().filter(|peer| peer.connected && peer.disk == DiskState::UpToDate);
    if !own {
        let data = remote.next().ok_or(PromotionError::NoData(view.disk))?;
        if data.older && remote.all(|peer| peer.older) {
            return Err(PromotionError::OlderData(data.node));
        }
    }
    if !view.quorum {
        return Err(PromotionError::NoQuorum);
    }
    if view.fencing > Fencing::DontCare
        && let Some(peer) = view.peers.iter().find(|peer| peer.diskful && !peer.connected && !peer.outdated)
    {
        return Err(PromotionError::PeerNotFenced(peer.node));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> PeerView {
        PeerView {
            node: NodeId::new(1).unwrap(),
            diskful: true,
            connected: true,
            in_handshake: false,
            role: Role::Secondary,
            disk: DiskState::UpToDate,
            older: false,
            in_sync: true,
            outdated: false,
        }
    }

    fn view() -> PromotionView {
        PromotionView {
            disk: DiskState::UpToDate,
            tiebreaker: false,
            quorum: true,
            fencing: Fencing::DontCare,
            two_primaries: false,
            force: false,
            peers: vec![peer()],
        }
    }

    fn with_peer(change: impl FnOnce(&mut PeerView)) -> PromotionView {
        let mut view = view();
        change(&mut view.peers[0]);
        view
    }

    #[test]
    fn each_reason_against_it() {
        let node = peer().node;
        assert_eq!(may_promote(&view()), Ok(()));
        let primary = with_peer(|peer| peer.role = Role::Primary);
        assert_eq!(may_promote(&primary), Err(PromotionError::PeerIsPrimary(node)));
        assert_eq!(
            may_promote(&PromotionView { force: true, ..primary }),
            Err(PromotionError::PeerIsPrimary(node))
        );
        let greeting = with_peer(|peer| peer.in_handshake = true);
        assert_eq!(may_promote(&greeting), Err(PromotionError::Handshake(node)));
        assert_eq!(may_promote(&PromotionView { quorum: false, ..view() }), Err(PromotionError::NoQuorum));
        assert_eq!(
            may_promote(&PromotionView { tiebreaker: true, ..view() }),
            Err(PromotionError::Tiebreaker)
        );
        let alone = |disk| PromotionView { disk, ..with_peer(|peer| peer.connected = false) };
        for disk in [DiskState::Inconsistent, DiskState::Outdated, DiskState::Diskless, DiskState::Failed] {
            assert_eq!(may_promote(&alone(disk)), Err(PromotionError::NoData(disk)));
            assert_eq!(may_promote(&PromotionView { disk, ..view() }), Ok(()), "over the peer's data");
        }
        assert_eq!(may_promote(&alone(DiskState::Consistent)), Ok(()));
        assert_eq!(may_promote(&PromotionView { force: true, ..alone(DiskState::Outdated) }), Ok(()));
        assert!(may_promote(&PromotionView { force: true, ..alone(DiskState::Diskless) }).is_err());
    }

    #[test]
    fn a_second_primary_joins_only_one_that_is_in_sync() {
        let primary = PromotionView { two_primaries: true, ..with_peer(|peer| peer.role = Role::Primary) };
        assert_eq!(may_promote(&primary), Ok(()));
        let refused = Err(PromotionError::PeerIsPrimary(peer().node));
        for force in [false, true] {
            let mut behind = PromotionView { force, ..primary.clone() };
            behind.peers[0].in_sync = false;
            assert_eq!(may_promote(&behind), refused, "a synchronisation goes on");
            for disk in [DiskState::Outdated, DiskState::Consistent, DiskState::Diskless] {
                assert_eq!(may_promote(&PromotionView { disk, force, ..primary.clone() }), refused);
            }
        }
        let mut greeting = primary;
        greeting.peers[0].in_handshake = true;
        assert_eq!(may_promote(&greeting), Err(PromotionError::Handshake(peer().node)));
    }

    #[test]
    fn with_fencing_an_unconnected_peer_must_be_out_of_the_way() {
        let lost = with_peer(|peer| peer.connected = false);
        for fencing in [Fencing::ResourceOnly, Fencing::ResourceAndStonith] {
            let view = PromotionView { fencing, ..lost.clone() };
            assert_eq!(may_promote(&view), Err(PromotionError::PeerNotFenced(peer().node)));
            let mut fenced = view.clone();
            fenced.peers[0].outdated = true;
            assert_eq!(may_promote(&fenced), Ok(()));
        }
        assert_eq!(may_promote(&lost), Ok(()));
    }
}
