//! The lab, the inventories that are right, and what a refusal must look like.

use std::fmt::Write as _;

use crate::lab::{Ran, TestLab};

/// The nodes of the lab.
pub(crate) const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Exit codes, as documented.
pub(crate) const FAILED: i32 = 1;
pub(crate) const DIFFERENCES: i32 = 2;
pub(crate) const USAGE: i32 = 3;
pub(crate) const UNREACHABLE: i32 = 4;
pub(crate) const BLOCKED: i32 = 5;
pub(crate) const STALE: i32 = 6;
pub(crate) const UNVERIFIED: i32 = 8;
pub(crate) const INTERRUPTED: i32 = 130;

/// What hactl could change on a node: files with owner, mode and time, folders, packages, units (which are enabled and
/// masked is among the files), the CIB. Left out is
/// what nodes write by themselves (systemd's own state, and the transitions that Pacemaker keeps) and the lists of
/// packages, which are read anew to see what can be installed.
const STATE: &str = "find /etc /run/systemd/system /usr/lib/ocf /var/lib -xdev \
    \\( -path /var/lib/systemd -o -path /var/lib/apt/lists -o -path /var/lib/pacemaker/pengine -o -path /var/lib/pacemaker/blackbox \\) -prune \
    -o -type d -printf '%p/ %m %u %g\\n' -o -printf '%p %m %u %g %s %T@ %l\\n' 2>/dev/null | sort; \
    dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n';\
    systemctl list-units --all --plain --no-legend 'corosync*' 'pacemaker*' 'haproxy*'; \
    cibadmin --query --scope configuration 2>/dev/null; true";

/// What is to be run with which inventories.
#[derive(Clone)]
pub(crate) struct Attempt<'a> {
    pub(crate) verb: &'a str,
    pub(crate) arguments: Vec<&'a str>,
    pub(crate) nodes: String,
    pub(crate) services: String,
}

/// The lab with the inventories that are right, and everything that was printed so far.
pub(crate) struct Setting {
    pub(crate) lab: TestLab,
    nodes: String,
    services: String,
    /// Everything that any run printed.
    pub(crate) printed: String,
}

impl Setting {
    /// Bare nodes.
    pub(crate) fn up(test: &str) -> Self {
        let mut lab = TestLab::up(test, &["--nodes", "3"]);
        lab.web("", "");
        Self { nodes: lab.nodes.clone(), services: lab.services.clone(), lab, printed: String::new() }
    }

    /// `hactl apply --yes` with the right inventories.
    pub(crate) fn apply(&self) -> Attempt<'static> {
        self.attempt("apply", &["--yes"])
    }

    /// Something else with the right inventories.
    pub(crate) fn attempt<'a>(&self, verb: &'a str, arguments: &[&'a str]) -> Attempt<'a> {
        Attempt {
            verb,
            arguments: arguments.to_vec(),
            nodes: self.nodes.clone(),
            services: self.services.clone(),
        }
    }

    /// Writes the inventories of an attempt for it; they stay until the next one.
    pub(crate) fn prepare(&mut self, attempt: &Attempt<'_>) {
        self.lab.nodes.clone_from(&attempt.nodes);
        self.lab.services.clone_from(&attempt.services);
        self.lab.write();
    }

    /// Runs an attempt to its end.
    #[track_caller]
    pub(crate) fn run(&mut self, attempt: &Attempt<'_>) -> Ran {
        self.prepare(attempt);
        let ran = self.lab.hactl(attempt.verb, &attempt.arguments);
        self.note(&ran);
        ran
    }

    /// Keeps what a run printed.
    pub(crate) fn note(&mut self, ran: &Ran) {
        let _ = writeln!(self.printed, "{}\n{}", ran.out, ran.err);
    }

    /// The attempt must end with this exit code, its stderr contain all of this, and no node be changed.
    #[track_caller]
    pub(crate) fn refused(&mut self, what: &str, attempt: &Attempt<'_>, code: i32, says: &[&str]) -> Ran {
        let log = self.log_bytes();
        let before = if code == USAGE { Vec::new() } else { self.state() };
        let ran = self.run(attempt).expect(code);
        for text in says {
            ran.warns(text);
        }
        if code == USAGE {
            assert_eq!(self.log_bytes(), log, "{what}: nodes were asked something\n{ran}");
        } else {
            unchanged(what, &before, &self.state());
        }
        self.lab.say(&format!("{what}: refused with {code}"));
        ran
    }

    /// Everything on the nodes that hactl could change.
    #[track_caller]
    pub(crate) fn state(&self) -> Vec<String> {
        let lab = &self.lab;
        std::thread::scope(|scope| {
            let asked = NODES.map(|node| scope.spawn(move || lab.on(node, STATE)));
            asked.map(|answer| answer.join().expect("the node tells its state")).to_vec()
        })
    }

    fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.lab.path("remote.log")).map_or(0, |file| file.len())
    }

    /// The value of a key of the lab's inventory that stands in quotes: `identity: "/…"`.
    pub(crate) fn quoted(&self, key: &str) -> String {
        let after = self.nodes.split(&format!("{key}: \"")).nth(1).expect("the inventory has it");
        after.split('"').next().unwrap_or_default().to_owned()
    }

    /// A node's address on a network (0 or 1), from its `links`.
    pub(crate) fn address(&self, node: &str, network: usize) -> String {
        let line =
            self.nodes.lines().find(|line| line.trim_start().starts_with(&format!("{node}: {{ address")));
        let links = line.and_then(|line| line.split('[').nth(1)).expect("the node has links");
        let links = links.split(']').next().unwrap_or_default();
        links.split(", ").nth(network).expect("the node has this link").to_owned()
    }

    /// A file of the test's own; its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.lab.path(name);
        std::fs::write(&path, text).expect("the file can be written");
        path.to_str().expect("UTF-8").to_owned()
    }
}

impl Attempt<'_> {
    /// The same with something else in the inventory of the nodes.
    #[track_caller]
    pub(crate) fn nodes(mut self, from: &str, to: &str) -> Self {
        assert!(self.nodes.contains(from), "`{from}` is not in the inventory:\n{}", self.nodes);
        self.nodes = self.nodes.replace(from, to);
        self
    }

    /// Where something stands: `nodes.yml:12:9` or `services.yml:6:7`; a bar in it says which column is meant.
    #[track_caller]
    pub(crate) fn place(&self, of: &str) -> String {
        let (before, after) = of.split_once('|').unwrap_or(("", of));
        let text = format!("{before}{after}");
        let find = |file: &str, inventory: &str| {
            let mut lines = inventory.lines().enumerate();
            let (line, column) = lines.find_map(|(line, words)| Some((line + 1, words.find(&text)? + 1)))?;
            Some(format!("{file}:{line}:{}", column + before.len()))
        };
        let found = find("nodes.yml", &self.nodes).or_else(|| find("services.yml", &self.services));
        found.unwrap_or_else(|| panic!("`{text}` is in no inventory"))
    }

    /// The same with more at the end of the cluster's section of the services.
    pub(crate) fn more(mut self, yaml: &str) -> Self {
        self.services.push_str(yaml);
        self
    }
}

/// The difference, if there is one, is told line by line.
#[track_caller]
fn unchanged(what: &str, before: &[String], after: &[String]) {
    let mut differences = String::new();
    for ((node, before), after) in NODES.iter().zip(before).zip(after) {
        let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
        for gone in old.iter().filter(|line| !new.contains(line)) {
            let _ = writeln!(differences, "{node}: - {gone}");
        }
        for come in new.iter().filter(|line| !old.contains(line)) {
            let _ = writeln!(differences, "{node}: + {come}");
        }
    }
    assert!(differences.is_empty(), "{what}: nodes were changed\n{differences}");
}
