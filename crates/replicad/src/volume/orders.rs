//! Orders: what the admin wants, as steps that follow each other.
//!
//! A step is an order to the core, something of the shell's, or something to be waited for. A step that is refused ends
//! the order, and who gave it hears why; when the process is to end anyway, it goes on.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use replica::{Admin, AdminError, NodeId, RequestId};

use crate::control::{Outcome, Reply};

/// How long a step waits for what it waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// No peer is connected, or about to say goodbye.
    Disconnected,
    /// The disk is let go of.
    DiskReleased,
    /// What was said to the peers is on its way.
    Said,
    /// Nothing is being done about the block device.
    DeviceSettled,
    /// There is none any more, and nothing holds its file.
    DeviceReleased,
}

/// One step.
#[derive(Debug)]
pub(super) enum Step {
    /// An order to the core.
    Core(Admin),
    /// Open the disk, read its metadata, and have the core use it.
    Attach,
    /// Wait for this.
    Until(Condition),
    /// Make the block device.
    OpenDevice,
    /// Take it away.
    CloseDevice,
    /// It was made.
    DeviceIsThere,
    /// It was taken away.
    DeviceIsGone,
    /// End the process.
    End,
}

/// An order under way.
#[derive(Debug)]
pub(super) struct Order {
    caller: Option<u64>,
    steps: VecDeque<Step>,
    waits_for: Option<RequestId>,
    deadline: Option<Instant>,
    /// A refusal does not stop it.
    stubborn: bool,
}

/// All orders under way.
#[derive(Debug, Default)]
pub(super) struct Orders {
    next: u64,
    orders: BTreeMap<u64, Order>,
    over: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// This step of this order.
    Step(u64, Step),
    /// This order is through; the caller hears so.
    Through(Option<u64>),
}

impl Orders {
    /// Takes an order.
    pub(super) fn begin(
        &mut self,
        caller: Option<u64>,
        steps: impl IntoIterator<Item = Step>,
        stubborn: bool,
    ) {
        self.next += 1;
        let steps = steps.into_iter().collect();
        let order = Order { caller, steps, waits_for: None, deadline: None, stubborn };
        self.orders.insert(self.next, order);
    }

    /// Whether the process is to end.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// When to look again at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.orders.values().filter_map(|order| order.deadline).min()
    }

    /// Something that can be done now. `holds` says whether a condition does.
    pub(super) fn next(&mut self, holds: impl Fn(Condition) -> bool) -> Option<Next> {
        let now = Instant::now();
        for (number, order) in &mut self.orders {
            if order.waits_for.is_some() {
                continue;
            }
            if let Some(Step::Until(condition)) = order.steps.front() {
                let deadline = *order.deadline.get_or_insert(now + PATIENCE);
                if !holds(*condition) && now < deadline {
                    continue;
                }
                order.deadline = None;
            }
            let (number, caller) = (*number, order.caller);
            return Some(match order.steps.pop_front() {
                Some(step) => Next::Step(number, step),
                None => {
                    self.orders.remove(&number);
                    Next::Through(caller)
                }
            });
        }
        None
    }

    /// The order waits for the core's answer.
    pub(super) fn wait(&mut self, number: u64, id: RequestId) {
        if let Some(order) = self.orders.get_mut(&number) {
            order.waits_for = Some(id);
        }
    }

    /// The order that waits for this answer.
    pub(super) fn waiting_for(&mut self, id: RequestId) -> Option<u64> {
        let (number, order) = self.orders.iter_mut().find(|(_, order)| order.waits_for == Some(id))?;
        order.waits_for = None;
        Some(*number)
    }

    /// A step failed. The caller who is to hear of it, unless the order goes on.
    pub(super) fn failed(&mut self, number: u64) -> Option<u64> {
        if self.orders.get(&number).is_some_and(|order| order.stubborn) {
            return None;
        }
        self.orders.remove(&number).and_then(|order| order.caller)
    }
}

/// The reply for an order that the core refused, with the nodes' names.
pub(super) fn refusal(error: &AdminError, name: impl Fn(NodeId) -> String) -> Reply {
    let message = match error {
        AdminError::NoPeer(peer) => format!("there is no peer with the node id {}", peer.get()),
        AdminError::NotInSync(peer) => format!("{} has to be connected and in sync", name(*peer)),
        AdminError::TooSmall { node, room, wanted } => format!(
            "the disk of {} has room for a volume of {room} bytes, not of {wanted}; enlarge its device first",
            name(*node)
        ),
        other => other.to_string(),
    };
    Reply::new(Outcome::Refused, Some(message))
}

/// The steps that take a volume down.
pub(super) fn down(primary: bool, attached: bool, peers: impl Iterator<Item = NodeId>) -> Vec<Step> {
    let mut steps = Vec::new();
    if primary {
        steps.push(Step::Core(Admin::Demote { force: false }));
    }
    steps.extend(peers.map(|peer| Step::Core(Admin::Disconnect { peer })));
    steps.push(Step::Until(Condition::Disconnected));
    if attached {
        steps.push(Step::Core(Admin::Detach));
    }
    steps.push(Step::Until(Condition::DiskReleased));
    steps.push(Step::Until(Condition::Said));
    steps
}
