//! `hactl lab`: the built-in lab, on the command line.
//!
//! In: arguments. Out: results on stdout, progress on stderr, an exit code. Decides nothing: the library does.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::lab::{
    Backend, DEFAULT_BOOT_DELAY, DEFAULT_CACHE_DIR, DiskFault, DiskSize, DiskSpec, Fault, FaultRequest, Lab,
    LabConfig, LabError, LabName, LabStatus, NodeStatus, Outcome, Power, Storage, Suite, serve_fence_device,
};

/// Real nodes on this machine, to try things with.
#[derive(Debug, Args)]
pub struct LabArgs {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Bring a lab up and print the inventory for its nodes.
    Up(UpArgs),
    /// Take a lab down; nothing of it stays, also after a crash.
    Down(DownArgs),
    /// Show a lab, its nodes and its faults.
    Status(StatusArgs),
    /// Log in to a node, or run a command there.
    Ssh(SshArgs),
    /// Break something, or repair it.
    Fault(FaultArgs),
    /// The fence device's daemon (started by `up`).
    #[command(hide = true)]
    Fenced {
        #[arg(long, value_name = "DIR")]
        state_dir: PathBuf,
    },
}

/// Which lab.
#[derive(Debug, Args)]
struct Which {
    /// The lab's name.
    #[arg(long, default_value = "lab", value_name = "NAME")]
    name: LabName,
    /// Where the lab is kept [default: /var/lib/hactl-lab/NAME].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Which {
    fn open(&self) -> Result<Lab, LabError> {
        Lab::open(&self.name, self.state_dir.as_deref())
    }
}

/// What `--disks` takes.
const DISKS_HELP: &str =
    "Blank disks, for every node or for one: [NODE:]NAME=SIZE, separated by commas; `none` for no disks";

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    which: Which,
    /// What the nodes are: containers (up within seconds), or virtual machines with kernels of their own (vm).
    #[arg(long, default_value_t, value_name = "BACKEND")]
    backend: Backend,
    /// How many nodes: 1 to 16.
    #[arg(long, default_value_t = 3, value_name = "N")]
    nodes: usize,
    /// How many networks each node is on: 1 to 4.
    #[arg(long, default_value_t = 2, value_name = "N")]
    networks: usize,
    /// Blank disks.
    #[arg(long, help = DISKS_HELP, value_delimiter = ',', default_value = "data1=256MiB", value_name = "DISK")]
    disks: Vec<String>,
    /// A blank disk that all nodes see: NAME=SIZE (virtual machines only).
    #[arg(long = "shared-disk", value_name = "DISK")]
    shared_disks: Vec<DiskSpec>,
    /// Begin with the cluster's packages installed, and nothing of them running (virtual machines only).
    #[arg(long)]
    baked: bool,
    /// Which Debian: bookworm or trixie [default: this machine's].
    #[arg(long)]
    suite: Option<Suite>,
    /// Debian mirror [default: from this machine's apt sources].
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// A package for the nodes to install from, besides the built-in list.
    #[arg(long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Where the nodes keep what they write on their root file systems: memory or disk [default: memory, if there
    /// are 2 GiB available per node].
    #[arg(long, value_name = "WHERE")]
    storage: Option<Storage>,
    /// Seconds that a fenced node spends in its firmware before it boots.
    #[arg(long, default_value_t = DEFAULT_BOOT_DELAY.as_secs(), value_name = "SECONDS")]
    boot_delay: u64,
    /// Where images and packages are kept for all labs.
    #[arg(long, default_value = DEFAULT_CACHE_DIR, value_name = "DIR")]
    cache_dir: PathBuf,
}

#[derive(Debug, Args)]
struct DownArgs {
    #[command(flatten)]
    which: Which,
    /// Where images and packages are kept for all labs; what a killed build left there is removed.
    #[arg(long, default_value = DEFAULT_CACHE_DIR, value_name = "DIR")]
    cache_dir: PathBuf,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    which: Which,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SshArgs {
    #[command(flatten)]
    which: Which,
    /// The node.
    node: String,
    /// A command for the node's shell.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Debug, Args)]
struct FaultArgs {
    #[command(flatten)]
    which: Which,
    #[command(subcommand)]
    fault: FaultCommand,
}

/// Names of nodes, separated by commas.
#[derive(Debug, Clone)]
struct NodeList(Vec<String>);

impl std::str::FromStr for NodeList {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()))
    }
}

#[derive(Debug, Subcommand)]
enum FaultCommand {
    /// Cut a node's power: what it had not synced is lost, and it stays off.
    PowerCut { node: String },
    /// Restore a node's power and wait until it answers.
    PowerOn { node: String },
    /// Make everything on a node stand still.
    Freeze { node: String },
    /// Let a frozen node go on.
    Thaw { node: String },
    /// Part nodes from each other (names separated by commas); SSH from this machine stays.
    Partition {
        /// Nodes on one side.
        a: NodeList,
        /// Nodes on the other side.
        b: NodeList,
        /// On this network only (1, 2, …).
        #[arg(long)]
        network: Option<usize>,
    },
    /// Cut a node off from all others; SSH from this machine stays.
    CutLink {
        node: String,
        /// On this network only (1, 2, …).
        #[arg(long)]
        network: Option<usize>,
    },
    /// Make a node's cable slow.
    SlowLink {
        node: String,
        /// On this network only (1, 2, …).
        #[arg(long)]
        network: Option<usize>,
        /// Bits per second, as in tc(8).
        #[arg(long, default_value = "10mbit")]
        rate: String,
        /// Longest time that a packet waits.
        #[arg(long, default_value = "50ms")]
        latency: String,
    },
    /// Give a disk more room, also while the node runs.
    ResizeDisk {
        node: String,
        disk: String,
        /// Its new size, such as 512MiB.
        size: DiskSize,
    },
    /// Swap a disk for a blank one with the same serial number.
    ReplaceDisk {
        node: String,
        disk: String,
        /// The new one's size, such as 512MiB; that of the old one otherwise.
        #[arg(long)]
        size: Option<DiskSize>,
    },
    /// Let every request to a disk fail (virtual machines only).
    FailDisk { node: String, disk: String },
    /// Make a disk slow (virtual machines only).
    SlowDisk {
        node: String,
        disk: String,
        /// Requests per second.
        #[arg(long, default_value_t = 120)]
        iops: u64,
        /// Bytes per second, such as 12MiB.
        #[arg(long, default_value = "12MiB")]
        bandwidth: DiskSize,
    },
    /// Repair cables and disks: those between all the nodes named, or all.
    Heal {
        nodes: Vec<String>,
        /// On this network only (1, 2, …).
        #[arg(long)]
        network: Option<usize>,
    },
}

impl From<FaultCommand> for FaultRequest {
    fn from(command: FaultCommand) -> Self {
        match command {
            FaultCommand::PowerCut { node } => Self::PowerCut { node },
            FaultCommand::PowerOn { node } => Self::PowerOn { node },
            FaultCommand::Freeze { node } => Self::Freeze { node },
            FaultCommand::Thaw { node } => Self::Thaw { node },
            FaultCommand::Partition { a, b, network } => Self::Partition { a: a.0, b: b.0, network },
            FaultCommand::CutLink { node, network } => Self::CutLink { node, network },
            FaultCommand::SlowLink { node, network, rate, latency } => {
                Self::SlowLink { node, network, rate, latency }
            }
            FaultCommand::ResizeDisk { node, disk, size: DiskSize(size_bytes) } => {
                Self::ResizeDisk { node, disk, size_bytes }
            }
            FaultCommand::ReplaceDisk { node, disk, size } => {
                Self::ReplaceDisk { node, disk, size_bytes: size.map(|DiskSize(bytes)| bytes) }
            }
            FaultCommand::FailDisk { node, disk } => Self::Disk { node, disk, with: DiskFault::Failing },
            FaultCommand::SlowDisk { node, disk, iops, bandwidth: DiskSize(bytes_per_second) } => {
                Self::Disk { node, disk, with: DiskFault::Slow { iops, bytes_per_second } }
            }
            FaultCommand::Heal { nodes, network } => Self::Heal { nodes, network },
        }
    }
}

/// Runs `hactl lab`. Returns the exit code.
///
/// # Errors
/// What the lab says; [`LabError::exit_code`] is its exit code.
pub(super) fn run(args: LabArgs) -> Result<u8, LabError> {
    match args.command {
        LabCommand::Up(args) => up(args),
        LabCommand::Down(DownArgs { which, cache_dir }) => {
            Lab::down(&which.name, which.state_dir.as_deref(), &cache_dir, &say).map(|_| 0)
        }
        LabCommand::Status(StatusArgs { which, json }) => {
            let status = which.open()?.status()?;
            let text = if json {
                serde_json::to_string_pretty(&status).map_err(|error| LabError::Usage(error.to_string()))?
                    + "\n"
            } else {
                table(&status)
            };
            print(&text)
        }
        LabCommand::Ssh(SshArgs { which, node, command }) => {
            let mut ssh = which.open()?.ssh(&node, &command)?;
            // Becomes ssh; comes back only when there is none.
            let source = ssh.exec();
            Err(LabError::Io { attempted: "run", path: PathBuf::from("ssh"), source })
        }
        LabCommand::Fault(FaultArgs { which, fault }) => which.open()?.inject(&fault.into()).map(|()| 0),
        LabCommand::Fenced { state_dir } => serve_fence_device(&state_dir).map(|()| 0),
    }
}

fn up(args: UpArgs) -> Result<u8, LabError> {
    let disks: Vec<DiskSpec> = args
        .disks
        .iter()
        .filter(|disk| !disk.is_empty() && *disk != "none")
        .map(|disk| disk.parse())
        .collect::<Result<_, _>>()?;
    let config = LabConfig {
        backend: args.backend,
        shared_disks: args.shared_disks,
        baked: args.baked,
        nodes: args.nodes,
        networks: args.networks,
        disks,
        suite: args.suite,
        state_dir: args.which.state_dir,
        cache_dir: args.cache_dir,
        mirror: args.mirror,
        packages: args.packages,
        storage: args.storage,
        boot_delay: Duration::from_secs(args.boot_delay),
        ..LabConfig::new(args.which.name)
    };
    let (lab, outcome) = Lab::up(&config, &say)?;
    if outcome == Outcome::AlreadyUp {
        say(&format!("lab `{}` is up already", config.name));
    }
    say(&format!("inventory: {}", lab.paths().inventory().display()));
    print(&lab.inventory())
}

/// One line of progress.
fn say(line: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

fn print(text: &str) -> Result<u8, LabError> {
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(LabError::Io { attempted: "write to", path: PathBuf::from("standard output"), source })
        }
        _ => Ok(0),
    }
}

/// What the nodes are.
fn kind(status: &LabStatus) -> String {
    match (status.backend, status.accelerator) {
        (Backend::Container, _) => "nodes".to_owned(),
        (Backend::Vm, None) => "virtual machines".to_owned(),
        (Backend::Vm, Some(accelerator)) => format!("virtual machines ({accelerator})"),
    }
}

fn table(status: &LabStatus) -> String {
    let fence = if status.fence_device { "serving" } else { "NOT RUNNING (`hactl lab up` starts it)" };
    let mut text = format!(
        "lab {}: Debian {}, {} {}, fence device {fence}\ninventory: {}\n\n{:<10} {:<8} {:>9}  {:<32} DISKS\n",
        status.name,
        status.suite,
        status.nodes.len(),
        kind(status),
        status.inventory.display(),
        "NODE",
        "POWER",
        "PROCESSES",
        "ADDRESSES",
    );
    for NodeStatus { node, power, frozen, processes } in &status.nodes {
        let power = match (power, frozen) {
            (Power::Off, _) => "off",
            (Power::Starting, _) => "starting",
            (Power::On, true) => "frozen",
            (Power::On, false) => "on",
        };
        let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
        let disks: Vec<&str> = node.disks.iter().map(|disk| disk.serial.as_str()).collect();
        text += &format!(
            "{:<10} {power:<8} {processes:>9}  {:<32} {}\n",
            node.name,
            addresses.join(" "),
            disks.join(" ")
        );
    }
    if !status.faults.is_empty() {
        text += "\nFAULTS\n";
    }
    for fault in &status.faults {
        text += &match fault {
            Fault::Partition { a, b, network } => format!("{a} and {b} are parted on network {network}\n"),
            Fault::CutLink { node, network } => format!("{node} is cut off on network {network}\n"),
            Fault::Disk { node, disk, with: DiskFault::Failing } => format!("{node}: disk {disk} fails\n"),
            Fault::Disk { node, disk, with: DiskFault::Slow { iops, bytes_per_second } } => {
                format!("{node}: disk {disk} is slow: {iops} requests, {bytes_per_second} bytes per second\n")
            }
            Fault::SlowLink { node, network, rate, latency } => {
                format!("{node} is slow on network {network}: {rate}, at most {latency}\n")
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: LabArgs,
    }

    fn parse(words: &[&str]) -> LabArgs {
        Program::try_parse_from(std::iter::once(&"lab").chain(words)).unwrap().args
    }

    #[test]
    fn the_command_line_is_consistent() {
        Program::command().debug_assert();
    }

    #[test]
    fn faults_are_read_as_people_write_them() {
        let LabCommand::Fault(args) =
            parse(&["fault", "partition", "alpha", "beta,gamma", "--network", "2"]).command
        else {
            panic!("not a fault")
        };
        assert_eq!(
            FaultRequest::from(args.fault),
            FaultRequest::Partition {
                a: vec!["alpha".into()],
                b: vec!["beta".into(), "gamma".into()],
                network: Some(2)
            }
        );
    }

    #[test]
    fn words_after_the_dashes_are_the_nodes() {
        let LabCommand::Ssh(args) = parse(&["ssh", "alpha", "--", "ls", "-l"]).command else {
            panic!("not ssh")
        };
        assert_eq!(args.command, ["ls", "-l"]);
    }
}
