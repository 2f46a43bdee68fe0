//! What happens at the volume's edges, as inputs of the core; and the core's outputs, carried out.

use bytes::Bytes;
use replica::io::ClientRequest;
use replica::state::ConnectionState;
use replica::{Event, Handler, Input, NodeId, Output, RequestId};

use super::owner::Volume;
use crate::handlers;
use crate::net::PeerEvent;

impl Volume {
    /// Hands something to the core, and everything that follows from it.
    pub(super) fn input(&mut self, input: Input) {
        self.inputs.push_back(input);
        if self.inputs.len() > 1 {
            // Somebody further up is handing in already.
            return;
        }
        while let Some(input) = self.inputs.front_mut() {
            // It stays at the front until it is done, so that what comes of it queues up behind it.
            let input = std::mem::replace(input, Input::Timeout);
            let now = self.now();
            self.replica.handle(now, input);
            while let Some(output) = self.replica.poll_output() {
                self.output(output);
            }
            self.inputs.pop_front();
        }
    }

    pub(super) fn client_pieces(&mut self, pieces: Vec<(RequestId, ClientRequest)>) {
        for (id, request) in pieces {
            self.input(Input::Client { id, request });
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Send { to, message } => self.peers.send(to, &message),
            Output::Disk { op, request } => match &mut self.disk {
                Some(disk) => disk.submit(op, request),
                None => {
                    self.input(Input::DiskDone { op, result: Err(replica::DiskError) });
                }
            },
            Output::Reply { id, result } => self.piece_done(id, result),
            Output::AdminReply { id, result } => self.step_done(id, result),
            Output::Connect(peer) => self.peers.want(peer),
            Output::Disconnect { peer, reason } => {
                self.peers.disconnect(peer, reason != ConnectionState::StandAlone);
                self.input(Input::PeerDown(peer));
            }
            Output::Handler(handler) => self.run_handler(handler),
            Output::Event(event) => self.tell(&event),
        }
    }

    fn piece_done(&mut self, id: RequestId, result: Result<Option<Bytes>, replica::ClientError>) {
        let mut more = Vec::new();
        let answer = self.requests.done(id, result, &mut more);
        self.client_pieces(more);
        if let Some(answer) = answer {
            self.answer(answer);
        }
    }

    pub(super) fn peer_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Up(peer) => self.input(Input::PeerUp(peer)),
            PeerEvent::Down(peer) => self.input(Input::PeerDown(peer)),
            // What an earlier connection brought, or one that was given up meanwhile, does not count any more.
            PeerEvent::Message(from, epoch, message) if self.peers.is_current(from, epoch) => {
                self.input(Input::Message { from, message });
            }
            PeerEvent::Message(..) => {}
        }
    }

    fn run_handler(&mut self, handler: Handler) {
        self.say(&format!("runs the handler {}", handlers::name(handler)));
        let mut environment = vec![
            ("DRBD_RESOURCE", self.settings.name.clone()),
            ("DRBD_MY_ID", self.replica.config().node.get().to_string()),
        ];
        if let Some(peer) = handlers::peer(handler) {
            environment.push(("DRBD_PEER_ID", peer.get().to_string()));
            environment.push(("DRBD_PEER_NODE_ID", peer.get().to_string()));
            if let Some((name, settings)) = self.settings.peer(peer) {
                environment.push(("DRBD_PEER", name.to_owned()));
                environment.push(("DRBD_PEER_ADDRESS", settings.address.ip().to_string()));
            }
        }
        self.handlers.run(handler, environment);
    }

    pub(super) fn handler_ended(&mut self, handler: Handler, exit_code: i32) {
        self.say(&format!("the handler {} ended with {exit_code}", handlers::name(handler)));
        self.input(Input::HandlerDone { handler, exit_code });
    }

    /// A node's name, be it this one.
    pub(super) fn node_name(&self, node: NodeId) -> String {
        if node == self.replica.config().node { self.settings.node.clone() } else { self.peer_name(node) }
    }

    pub(super) fn peer_name(&self, peer: NodeId) -> String {
        self.settings.peer(peer).map_or_else(|| peer.to_string(), |(name, _)| name.to_owned())
    }

    fn tell(&mut self, event: &Event) {
        if let Event::Resized(size) = event {
            self.size = *size;
            self.grow_device();
        }
        let line = self.event_line(event);
        self.say(&self.event_words(event));
        self.control.tell(&line);
    }
}
