//! A lab from `up` to `down`.
//!
//! In: a [`LabConfig`] or a name. Out: a [`Lab`] to work with. `up` is done when every node answers SSH; a run that was killed
//! is cleaned up first; a lab that is up stays as it is.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::Say;
use super::cache;
use super::config::{Accelerator, LabConfig, Storage, Suite};
use super::disks;
use super::error::LabError;
use super::fence_device;
use super::image;
use super::inventory;
use super::lock::{Lock, Mode};
use super::machine::{ImageParts, machine};
use super::names::LabName;
use super::network;
use super::packages;
use super::personal;
use super::power;
use super::prerequisites::{available_memory_bytes, check_prerequisites};
use super::process::wait_for;
use super::record::{
    FenceDevice, LabNetwork, LabNode, LabPaths, LabRecord, Phase, RECORD_FORMAT, RUN_DIR, boot_id,
    host_suite, replace,
};
use super::sources;
use super::teardown;

/// Longest wait for a node's sshd.
const SSH_LIMIT: Duration = Duration::from_secs(90);
/// Longest wait for an emulated node's sshd, with its neighbours on the same processors.
const EMULATED_SSH_LIMIT: Duration = Duration::from_secs(300);
/// Longest wait for what is left of a run that was killed.
const DEAD_HOLDER_LIMIT: Duration = Duration::from_secs(20);
/// Longest wait for another run that chooses subnets.
const SUBNET_LOCK_LIMIT: Duration = Duration::from_secs(60);

/// A lab that is up.
#[derive(Debug, Clone)]
pub struct Lab {
    pub(crate) record: LabRecord,
    pub(crate) paths: LabPaths,
}

/// What `up` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was made now.
    Created,
    /// It was up already.
    AlreadyUp,
}

impl Lab {
    /// Brings a lab up, or finds it up.
    ///
    /// # Errors
    /// Prerequisites are missing, another run works on it, it is up with other nodes, or anything on the way failed; then what
    /// was made stays for inspection and the next `up` or `down` removes it.
    pub fn up(config: &LabConfig, say: Say<'_>) -> Result<(Self, Outcome), LabError> {
        let names = config.node_names()?;
        check_prerequisites(config.backend)?;
        let paths = LabPaths::find(&config.name, config.state_dir.as_deref())?;
        // Before the lock, so that a refusal leaves no lock file; `tear_down` looks again under it.
        teardown::refuse_foreign(&paths)?;
        let _lock = lock(&config.name, Mode::Exclusive)?;
        if let Some(lab) = Self::running(config, &paths)? {
            fence_device::start(&lab.record, &lab.paths)?;
            return Ok((lab, Outcome::AlreadyUp));
        }
        if !teardown::leftovers(&config.name, &paths)?.is_empty() {
            say("removing what an earlier run left behind");
            teardown::tear_down(&config.name, &paths)?;
        }
        let machine = machine(config.backend);
        machine.check_room_for(config.nodes)?;
        cache::sweep(&config.cache_dir)?;
        let suite = config.suite.map_or_else(host_suite, Ok)?;
        let sources = sources::sources_for(suite, config.mirror.as_deref())?;
        let base = image::image(&config.cache_dir, suite, &sources, say)?;
        let mut extra = config.packages.clone();
        extra.extend(machine.image_packages().iter().map(|&name| name.to_owned()));
        let packages = packages::repository(&config.cache_dir, suite, &sources, &base, &extra, say)?;
        let parts = ImageParts { suite, base: &base, packages: &packages };
        let image = machine.image(config, parts, say)?;
        let began = Instant::now();
        let mut record = new_record(config, &paths, suite, image, packages)?;
        machine.settle(&mut record, config, &paths, say)?;
        note(&config.name, &paths)?;
        create_networks(&mut record, &paths, config.networks)?;
        for (index, name) in names.into_iter().enumerate() {
            let own =
                config.disks_of(&name).map(|spec| disks::plan(&config.name, &name, spec, config.backend));
            let disks = own.chain(config.shared_disks.iter().map(disks::plan_shared)).collect();
            let addresses = network::node_addresses(&record.networks, index);
            record.nodes.push(LabNode { name, index, addresses, disks });
        }
        paths.save(&record)?;
        prepare_keys(&paths)?;
        say(&format!("starting {} nodes", record.nodes.len()));
        create_nodes(&mut record, &paths, say)?;
        fence_device::start(&record, &paths)?;
        record.phase = Phase::Up;
        let lab = Self { record, paths };
        replace(&lab.paths.inventory(), &lab.inventory())?;
        lab.paths.save(&lab.record)?;
        say(&format!("lab `{}` is up after {:.1} s", lab.record.name, began.elapsed().as_secs_f64()));
        Ok((lab, Outcome::Created))
    }

    /// The lab as asked for, if it is up.
    fn running(config: &LabConfig, paths: &LabPaths) -> Result<Option<Self>, LabError> {
        // A record that cannot be read is a leftover.
        let Ok(Some(record)) = paths.load() else { return Ok(None) };
        let whole = record.phase == Phase::Up
            && record.name == config.name
            && record.boot_id == boot_id()?
            && network::namespace_path(&record.name.switch()).exists()
            && network::has_uplink(&record.name);
        if !whole {
            return Ok(None);
        }
        let differences = differences(config, &record)?;
        if !differences.is_empty() {
            return Err(LabError::Different {
                lab: record.name.to_string(),
                differences: differences.join(", "),
            });
        }
        Ok(Some(Self { record, paths: paths.clone() }))
    }

    /// Finds a lab that is up.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn open(name: &LabName, state_dir: Option<&Path>) -> Result<Self, LabError> {
        let paths = LabPaths::find(name, state_dir)?;
        let record = paths.load()?.filter(|record| record.phase == Phase::Up && record.name == *name);
        let record = record.ok_or_else(|| LabError::NotUp { lab: name.to_string() })?;
        if record.boot_id != boot_id()? {
            return Err(LabError::NotUp { lab: name.to_string() });
        }
        Ok(Self { record, paths })
    }

    /// Takes a lab down, whatever state it is in. Returns whether there was anything to remove.
    ///
    /// # Errors
    /// Another run works on it, or something of it cannot be removed; the error names it.
    pub fn down(
        name: &LabName,
        state_dir: Option<&Path>,
        cache_dir: &Path,
        say: Say<'_>,
    ) -> Result<bool, LabError> {
        let paths = LabPaths::find(name, state_dir)?;
        teardown::refuse_foreign(&paths)?;
        let lock = lock(name, Mode::Exclusive)?;
        let began = Instant::now();
        let something = !teardown::leftovers(name, &paths)?.is_empty();
        teardown::tear_down(name, &paths)?;
        cache::sweep(cache_dir)?;
        match fs::remove_file(LabPaths::note(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LabError::io("remove", &LabPaths::note(name))(error));
            }
            _ => {}
        }
        lock.remove()?;
        if something {
            say(&format!("lab `{name}` is down after {:.1} s", began.elapsed().as_secs_f64()));
        } else {
            say(&format!("there is no lab `{name}`"));
        }
        Ok(something)
    }

    /// What is known of it.
    #[must_use]
    pub fn record(&self) -> &LabRecord {
        &self.record
    }

    /// Its files.
    #[must_use]
    pub fn paths(&self) -> &LabPaths {
        &self.paths
    }

    /// The inventory for its nodes, as YAML.
    #[must_use]
    pub fn inventory(&self) -> String {
        inventory::inventory(&self.record, &self.paths)
    }

    /// An `ssh` to a node, with these words for its shell; without any, a shell.
    ///
    /// # Errors
    /// There is no such node.
    pub fn ssh(&self, node: &str, words: &[String]) -> Result<Command, LabError> {
        let node = self.record.node(node)?;
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.paths.ssh_config()).arg(node.name.as_str());
        if !words.is_empty() {
            command.arg("--").args(words);
        }
        Ok(command)
    }

    /// Waits until the node's sshd answers.
    ///
    /// # Errors
    /// There is no such node, or it does not answer in time.
    pub fn wait_for_ssh(&self, node: &str) -> Result<(), LabError> {
        wait_for_ssh(&self.record, self.record.node(node)?, &self.paths)
    }

    /// Keeps `down` and `up` away while faults are injected.
    pub(crate) fn use_it(&self) -> Result<Lock, LabError> {
        lock(&self.record.name, Mode::Shared)
    }
}

fn lock(name: &LabName, mode: Mode) -> Result<Lock, LabError> {
    let path = LabPaths::lock(name);
    let busy = || LabError::Busy { lab: name.to_string(), holder: Lock::holder(&path) };
    wait_for(String::new, DEAD_HOLDER_LIMIT, || match Lock::try_take(&path, mode)? {
        Some(lock) => Ok(Some(lock)),
        // The programs of a run that was killed may outlive it by a moment, and the lock with them.
        None if Lock::holder_is_dead(&path) => Ok(None),
        None => Err(busy()),
    })
    .map_err(|error| if matches!(error, LabError::Timeout { .. }) { busy() } else { error })
}

/// What a lab has that is not asked for.
fn differences(config: &LabConfig, record: &LabRecord) -> Result<Vec<String>, LabError> {
    let mut wanted = BTreeMap::new();
    for node in config.node_names()? {
        let own = config.disks_of(&node).map(|disk| (disk, false));
        for (disk, shared) in own.chain(config.shared_disks.iter().map(|disk| (disk, true))) {
            wanted.insert((node.to_string(), disk.name.clone()), (disk.size_bytes, shared));
        }
    }
    let mut differences = Vec::new();
    if record.backend != config.backend {
        differences.push(format!("the backend `{}`", record.backend));
    }
    if record.baked != config.baked {
        differences.push("another image".to_owned());
    }
    if record.nodes.len() != config.nodes {
        differences.push(format!("{} nodes", record.nodes.len()));
    }
    if record.networks.len() != config.networks {
        differences.push(format!("{} networks", record.networks.len()));
    }
    if config.suite.is_some_and(|suite| suite != record.suite) {
        differences.push(format!("Debian {}", record.suite));
    }
    if record.nodes.len() == config.nodes && record.disk_sizes() != wanted {
        differences.push("other disks".to_owned());
    }
    Ok(differences)
}

/// A lab of which nothing exists yet.
fn new_record(
    config: &LabConfig,
    paths: &LabPaths,
    suite: Suite,
    image: PathBuf,
    packages: PathBuf,
) -> Result<LabRecord, LabError> {
    let hactl = match &config.hactl {
        Some(path) => path.clone(),
        None => std::env::current_exe().map_err(LabError::io("find", Path::new("/proc/self/exe")))?,
    };
    Ok(LabRecord {
        format: RECORD_FORMAT,
        name: config.name.clone(),
        phase: Phase::Creating,
        boot_id: boot_id()?,
        backend: config.backend,
        accelerator: None,
        baked: config.baked,
        suite,
        nodes: Vec::new(),
        networks: Vec::new(),
        image,
        packages,
        hactl,
        fence: FenceDevice {
            ip: Ipv4Addr::UNSPECIFIED,
            port: fence_device::PORT,
            secret: paths.fence_secret(),
        },
        storage: config
            .storage
            .map_or_else(|| Ok(Storage::for_nodes(config.nodes, available_memory_bytes()?)), Ok)?,
        boot_delay_ms: u64::try_from(config.boot_delay.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Notes that the lab exists and where, before anything of it does.
fn note(name: &LabName, paths: &LabPaths) -> Result<(), LabError> {
    let root = paths.root();
    fs::create_dir_all(root).map_err(LabError::io("create", root))?;
    replace(&LabPaths::note(name), &format!("{}\n", root.display()))
}

/// Chooses subnets and makes the switch. Others who choose at the same time wait, until these are visible.
fn create_networks(record: &mut LabRecord, paths: &LabPaths, count: usize) -> Result<(), LabError> {
    let lock = PathBuf::from(RUN_DIR).join("subnets.lock");
    let lock = Lock::take(&lock, Mode::Exclusive, SUBNET_LOCK_LIMIT)?;
    record.networks = network::choose(&record.name, count)?;
    if let Some(LabNetwork { subnet, .. }) = record.networks.first() {
        record.fence.ip = network::with_last(*subnet, network::FENCE_BYTE);
    }
    paths.save(record)?;
    network::create_switch(record)?;
    lock.remove()
}

fn prepare_keys(paths: &LabPaths) -> Result<(), LabError> {
    personal::make_key(&paths.identity(), "hactl-lab")?;
    fence_device::make_secret(&paths.fence_secret())
}

/// Makes all nodes at once and waits until they answer SSH.
fn create_nodes(record: &mut LabRecord, paths: &LabPaths, say: Say<'_>) -> Result<(), LabError> {
    machine(record.backend).prepare_shared(record, paths)?;
    let mut nodes = record.nodes.clone();
    let keys = on_all(&mut nodes, |node| prepare_node(node, record, paths))?;
    record.nodes = nodes;
    paths.save(record)?;
    replace(&paths.known_hosts(), &inventory::known_hosts(record, keys.iter().map(String::as_str)))?;
    replace(&paths.ssh_config(), &inventory::ssh_config(record, paths))?;
    let mut nodes = record.nodes.clone();
    on_all(&mut nodes, |node| {
        power::on(record, node, paths)?;
        wait_for_ssh(record, node, paths)?;
        say(&format!(
            "{} answers at {}",
            node.name,
            node.addresses.first().map_or_else(String::new, ToString::to_string)
        ));
        Ok(())
    })
    .map(drop)
}

/// Returns the node's public host key.
fn prepare_node(node: &mut LabNode, lab: &LabRecord, paths: &LabPaths) -> Result<String, LabError> {
    let own = paths.node(&node.name);
    fs::create_dir_all(own.dir()).map_err(LabError::io("create", own.dir()))?;
    machine(lab.backend).prepare(lab, node, paths)?;
    let key = own.host_key().with_extension("pub");
    fs::read_to_string(&key).map_err(LabError::io("read", &key))
}

/// Does something to every node at the same time; the first error in the nodes' order is the error.
fn on_all<T: Send>(
    nodes: &mut [LabNode],
    work: impl Fn(&mut LabNode) -> Result<T, LabError> + Sync,
) -> Result<Vec<T>, LabError> {
    let work = &work;
    thread::scope(|scope| {
        let started: Vec<_> = nodes.iter_mut().map(|node| scope.spawn(move || work(node))).collect();
        started
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(LabError::Usage("a thread of `up` ended badly".to_owned())))
            })
            .collect()
    })
}

/// Waits until the node lets people in.
fn wait_for_ssh(lab: &LabRecord, node: &LabNode, paths: &LabPaths) -> Result<(), LabError> {
    /// Longest wait for one answer.
    const TRY: Duration = Duration::from_secs(1);
    let Some(&address) = node.addresses.first() else { return Ok(()) };
    let address = SocketAddr::from((address, 22));
    let (machine, group) = (machine(lab.backend), power::group(lab, node)?);
    let what = || {
        let said = machine.console(node, paths);
        format!("wait for SSH on node {} at {address}; the end of what it said:\n{said}", node.name)
    };
    let limit = match lab.accelerator {
        Some(Accelerator::Tcg) => EMULATED_SSH_LIMIT,
        Some(Accelerator::Kvm) | None => SSH_LIMIT,
    };
    wait_for(what, limit, || {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, TRY) else { return Ok(None) };
        let mut banner = [0; 4];
        let answered = stream.set_read_timeout(Some(TRY)).is_ok() && stream.read_exact(&mut banner).is_ok();
        let in_use = answered && &banner == b"SSH-" && machine.lets_people_in(node, paths, &group)?;
        Ok(in_use.then_some(()))
    })
}
