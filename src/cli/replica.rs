//! `hactl replica`: the embedded replication engine on this node. It serves a volume, and gives orders to the process
//! that does. The verbs and their words are DRBD's.

use std::path::{Path, PathBuf};

use replicad::control::{Connection, Outcome, Verb as Order};
use replicad::disk::{self, Store};
use replicad::settings::Settings;
use replicad::volume::{Paths, Volume};

use super::replica_process;
use super::replica_text;
use super::replica_words::{self, Word};
use super::{CommandError, Console, ExitCode};

/// Peers that new metadata has room for unless the volume's file says more.
const DEFAULT_PEERS: u8 = 1;

/// Arguments of `hactl replica`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct ReplicaArgs {
    /// What to do.
    #[command(subcommand)]
    verb: ReplicaVerb,
}

/// Which volume.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Which {
    /// The volume
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// Its file [default: /etc/hactl/replica/NAME.yml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The folder of the volumes' sockets [default: /run/hactl/replica]
    #[arg(long, value_name = "DIR")]
    pub(super) run_dir: Option<PathBuf>,
}

/// Which volume, and as which node.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Here {
    #[command(flatten)]
    pub(super) which: Which,
    /// Which of the volume's nodes this is [default: the host's name]
    #[arg(long, value_name = "NODE")]
    pub(super) node: Option<String>,
}

/// Which volume and which peer.
#[derive(Debug, Clone, clap::Args)]
struct Peer {
    #[command(flatten)]
    which: Which,
    /// The peer [default: all]
    #[arg(value_name = "PEER")]
    peer: Option<String>,
}

/// What can be done with a volume.
#[derive(Debug, clap::Subcommand)]
enum ReplicaVerb {
    /// Serve a volume until told to end: attach its disk, connect to its peers
    Serve(Here),
    /// Make metadata on the volume's disk; what is there already is not replaced
    CreateMd {
        #[command(flatten)]
        here: Here,
        /// Replace the metadata that is there, and lose what it knows
        #[arg(long)]
        force: bool,
    },
    /// Start the volume's process if it does not run, attach and connect
    Up(Here),
    /// Demote, disconnect, detach, and end the volume's process; what a killed one has left is taken away
    Down(Which),
    /// Make this node Primary
    Primary {
        #[command(flatten)]
        which: Which,
        /// Without UpToDate data, quorum or fencing if need be: what the peer knows better is lost
        #[arg(long)]
        force: bool,
    },
    /// Make this node Secondary
    Secondary {
        #[command(flatten)]
        which: Which,
        /// Fail requests that are suspended
        #[arg(long)]
        force: bool,
    },
    /// Connect to a peer
    Connect {
        #[command(flatten)]
        peer: Peer,
        /// After split brain, throw away what was written here
        #[arg(long)]
        discard_my_data: bool,
    },
    /// Disconnect from a peer
    Disconnect(Peer),
    /// Use the disk
    Attach(Which),
    /// Give up the disk, and go on over the peer's
    Detach(Which),
    /// Show the volume's state
    Status {
        #[command(flatten)]
        which: Which,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the role here, in a word
    Role(Which),
    /// Print the state of the connection to the peer with a disk, in a word
    Cstate(Which),
    /// Print the states of the disks here and there
    Dstate(Which),
    /// Print the generations of the data on the disk here, whether the volume is up or not
    GetGi(Here),
    /// Print the path of the disk here
    ShLlDev(Here),
    /// Show what happens to the volume, as JSON lines, until interrupted
    Events {
        #[command(flatten)]
        which: Which,
        /// JSON lines; the only form there is
        #[arg(long)]
        json: bool,
    },
    /// Print the volume's metrics as Prometheus reads them, for node_exporter's textfile collector
    Metrics(Which),
    /// Compare with a peer, block by block; what differs is marked
    Verify(Peer),
    /// Throw the data here away, and take all of the peer's
    Invalidate(Peer),
    /// Throw the peer's data away, and send it all of this node's
    InvalidateRemote(Peer),
    /// Make the volume larger on all nodes, after their devices have grown
    Resize {
        #[command(flatten)]
        which: Which,
        /// Bytes of the volume [default: what all disks have room for]
        #[arg(long, value_name = "BYTES")]
        size: Option<u64>,
        /// What is new holds the same on all nodes: it is not copied
        #[arg(long)]
        assume_clean: bool,
    },
    /// Call the data here outdated: it is not promoted until it has met the peer's
    Outdate(Which),
    /// Let all I/O wait
    SuspendIo(Which),
    /// Let I/O go on
    ResumeIo(Which),
    /// Begin a new generation of the data
    NewCurrentUuid {
        #[command(flatten)]
        which: Which,
        /// Between two blank disks: they count as equal, and nothing is copied
        #[arg(long, required = true)]
        clear_bitmap: bool,
    },
}

pub(super) fn failed(what: &str, error: &dyn std::error::Error) -> CommandError {
    CommandError::local(what, error)
}

impl Which {
    pub(super) fn paths(&self) -> Paths {
        Paths::of(&self.name, self.config.as_deref(), self.run_dir.as_deref())
    }

    fn connection(&self) -> Result<Connection, CommandError> {
        Connection::open(&self.paths().control()).map_err(|error| failed(&self.name, &error))
    }

    /// Gives an order, and waits until it is done. What is still to happen then is told.
    pub(super) fn order(&self, console: &Console, order: Order) -> Result<ExitCode, CommandError> {
        let reply = self.connection()?.call(order).map_err(|error| failed(&self.name, &error))?;
        let note = reply.message.as_ref().map(|message| format!("{}: {message}", self.name));
        let message = note.clone().unwrap_or_else(|| format!("{}: the order was refused", self.name));
        match reply.outcome {
            Outcome::Done => {
                if let Some(note) = note {
                    console.tell(&format!("{note}\n"));
                }
                Ok(ExitCode::Done)
            }
            Outcome::Refused => Err(CommandError::new(ExitCode::Blocked, message)),
            Outcome::Failed => Err(CommandError::new(ExitCode::Failed, message)),
        }
    }
}

impl Here {
    pub(super) fn settings(&self) -> Result<Settings, CommandError> {
        let paths = self.which.paths();
        Settings::read(&paths.config, &self.which.name, self.node.as_deref())
            .map_err(|error| CommandError::new(ExitCode::Usage, replica_text::chain(&error)))
    }
}

/// Does what the verb says.
///
/// # Errors
/// The volume's file is wrong, its process does not run, or the order is refused.
pub(super) fn run(arguments: &ReplicaArgs, console: &Console) -> Result<ExitCode, CommandError> {
    let peer = |peer: &Peer| peer.peer.clone();
    match &arguments.verb {
        ReplicaVerb::Serve(here) => serve(here),
        ReplicaVerb::CreateMd { here, force } => create_md(here, *force, console),
        ReplicaVerb::Up(here) => replica_process::up(here, console),
        ReplicaVerb::Down(which) => replica_process::down(which, console),
        ReplicaVerb::Primary { which, force } => which.order(console, Order::Primary { force: *force }),
        ReplicaVerb::Secondary { which, force } => which.order(console, Order::Secondary { force: *force }),
        ReplicaVerb::Connect { peer: to, discard_my_data } => {
            to.which.order(console, Order::Connect { peer: peer(to), discard_my_data: *discard_my_data })
        }
        ReplicaVerb::Disconnect(from) => from.which.order(console, Order::Disconnect { peer: peer(from) }),
        ReplicaVerb::Attach(which) => which.order(console, Order::Attach),
        ReplicaVerb::Detach(which) => which.order(console, Order::Detach),
        ReplicaVerb::Status { which, json } => status(which, *json, console),
        ReplicaVerb::Role(which) => word(which, Word::Role, console),
        ReplicaVerb::Cstate(which) => word(which, Word::Connection, console),
        ReplicaVerb::Dstate(which) => word(which, Word::Disks, console),
        ReplicaVerb::GetGi(here) => get_gi(here, console),
        ReplicaVerb::ShLlDev(here) => {
            console.result(&format!("{}\n", disk(&here.settings()?)?.display()))?;
            Ok(ExitCode::Done)
        }
        ReplicaVerb::Events { which, .. } => events(which, console),
        ReplicaVerb::Metrics(which) => metrics(which, console),
        ReplicaVerb::Verify(with) => with.which.order(console, Order::Verify { peer: peer(with) }),
        ReplicaVerb::Invalidate(by) => by.which.order(console, Order::Invalidate { peer: peer(by) }),
        ReplicaVerb::InvalidateRemote(of) => {
            of.which.order(console, Order::InvalidateRemote { peer: peer(of) })
        }
        ReplicaVerb::Resize { which, size, assume_clean } => {
            which.order(console, Order::Resize { size: *size, assume_clean: *assume_clean })
        }
        ReplicaVerb::Outdate(which) => which.order(console, Order::Outdate),
        ReplicaVerb::SuspendIo(which) => which.order(console, Order::SuspendIo),
        ReplicaVerb::ResumeIo(which) => which.order(console, Order::ResumeIo),
        ReplicaVerb::NewCurrentUuid { which, clear_bitmap } => {
            which.order(console, Order::NewCurrentUuid { clear_bitmap: *clear_bitmap })
        }
    }
}

fn serve(here: &Here) -> Result<ExitCode, CommandError> {
    let settings = here.settings()?;
    let start = |error: replicad::volume::StartError| failed(&here.which.name, &error);
    let mut volume = Volume::new(settings, &here.which.paths()).map_err(start)?;
    volume.bring_up();
    volume.run().map_err(start)?;
    Ok(ExitCode::Done)
}

fn create_md(here: &Here, force: bool, console: &Console) -> Result<ExitCode, CommandError> {
    let settings = here.settings()?;
    let path = disk(&settings)?;
    let diskful = settings.nodes.values().filter(|node| node.disk.is_some()).count().saturating_sub(1);
    let peers = u8::try_from(diskful).unwrap_or(DEFAULT_PEERS).max(DEFAULT_PEERS);
    let store = Store::open(path).map_err(|error| failed("no metadata was made", &error))?;
    let refused = |error: disk::MetadataError| match &error {
        disk::MetadataError::Exists { .. } => {
            CommandError::new(ExitCode::Blocked, format!("{}: {error}", path.display()))
        }
        _ => failed("no metadata was made", &error),
    };
    // A disk that has grown has it no longer at its end, and is not blank for that.
    if let Ok(found) = here.which.paths().last_known().superblock(&store)
        && !force
    {
        return Err(refused(disk::MetadataError::Exists { current: found.current_uuid }));
    }
    let layout = disk::create(&store, peers, force).map_err(refused)?;
    console.say(&format!("{}: {} bytes for data\n", path.display(), layout.data_bytes()));
    Ok(ExitCode::Done)
}

fn disk(settings: &Settings) -> Result<&Path, CommandError> {
    let none = || CommandError::new(ExitCode::Usage, format!("{} has no disk", settings.node));
    settings.own().disk.as_deref().ok_or_else(none)
}

fn word(which: &Which, word: Word, console: &Console) -> Result<ExitCode, CommandError> {
    let reply = which.connection()?.call(Order::Status).map_err(|error| failed(&which.name, &error))?;
    console.result(&format!("{}\n", replica_words::of_status(&reply.status.unwrap_or_default(), word)))?;
    Ok(ExitCode::Done)
}

fn get_gi(here: &Here, console: &Console) -> Result<ExitCode, CommandError> {
    let settings = here.settings()?;
    let peer = settings.nodes.iter().find(|(name, node)| **name != settings.node && node.disk.is_some());
    let peer = peer.map_or(settings.own().id, |(_, node)| node.id);
    let known = here.which.paths().last_known();
    console.result(&format!("{}\n", replica_words::generations(disk(&settings)?, &known, peer)?))?;
    Ok(ExitCode::Done)
}

fn status(which: &Which, json: bool, console: &Console) -> Result<ExitCode, CommandError> {
    let reply = which.connection()?.call(Order::Status).map_err(|error| failed(&which.name, &error))?;
    let status = reply.status.unwrap_or_default();
    if json {
        console.json(&status)?
    } else {
        console.result(&replica_text::status(&status))?
    }
    Ok(ExitCode::Done)
}

fn metrics(which: &Which, console: &Console) -> Result<ExitCode, CommandError> {
    let reply = which.connection()?.call(Order::Metrics).map_err(|error| failed(&which.name, &error))?;
    match reply.metrics {
        Some(metrics) => console.result(&metrics)?,
        None => return Err(CommandError::new(ExitCode::Failed, format!("{}: no metrics came", which.name))),
    }
    Ok(ExitCode::Done)
}

fn events(which: &Which, console: &Console) -> Result<ExitCode, CommandError> {
    let mut connection = which.connection()?;
    connection.send(Order::Events).map_err(|error| failed(&which.name, &error))?;
    while let Some(line) = connection.line().map_err(|error| failed(&which.name, &error))? {
        console.result(&format!("{line}\n"))?;
    }
    Ok(ExitCode::Done)
}
