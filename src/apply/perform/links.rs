//! Sends datagrams between the nodes on every link, on corosync's own ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::time::Instant;

use crate::apply::run::{Run, StepError};
use crate::names::NodeName;
use crate::transport::{Command, Session};

/// How long datagrams may take to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(4);
/// How long opening the sockets or sending may take.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(20);
/// After how many seconds a listener that nobody ends ends itself.
const LISTENER_LIFE_S: &str = "30";

/// `perl -e LISTEN SECONDS ADDRESS PORT …`: says `ready`, then every datagram of ours. perl-base is essential in Debian.
const LISTEN: &str = r#"use strict; use Socket qw(:DEFAULT getaddrinfo AI_NUMERICHOST); $| = 1;
my $life = shift; my @s; my $in = ''; my $max = time + $life;
while (@ARGV) { my ($a, $p) = (shift, shift);
  my ($e, $r) = getaddrinfo($a, $p, {flags => AI_NUMERICHOST, socktype => SOCK_DGRAM}); die "$a: $e\n" if $e;
  socket(my $s, $r->{family}, SOCK_DGRAM, 0) or die "$a: $!\n"; bind($s, $r->{addr}) or die "$a port $p: $!\n"; push @s, $s; }
vec($in, fileno($_), 1) = 1 for @s, \*STDIN; print "ready\n";
while (time < $max) { my $got = $in; next unless select($got, undef, undef, 1) > 0;
  exit 0 if vec($got, fileno(STDIN), 1);
  for my $s (@s) { next unless vec($got, fileno($s), 1); recv($s, my $m, 128, 0); print "$m\n" if $m =~ /^hactl [\w.-]+ [\w.-]+ \d+$/; } }"#;

/// `perl -e SEND ADDRESS PORT MESSAGE FROM …`: each thrice, from the sender's address on that link.
const SEND: &str = r#"use strict; use Socket qw(:DEFAULT getaddrinfo AI_NUMERICHOST); my @m; my %bad;
while (@ARGV) { my ($a, $p, $m, $f) = splice(@ARGV, 0, 4); my $h = {flags => AI_NUMERICHOST, socktype => SOCK_DGRAM};
  my ($e, $r) = getaddrinfo($a, $p, $h); die "$a: $e\n" if $e; my ($g, $l) = getaddrinfo($f, 0, $h); die "$f: $g\n" if $g;
  socket(my $s, $r->{family}, SOCK_DGRAM, 0) or die "$a: $!\n"; bind($s, $l->{addr}) or die "$f: $!\n"; push @m, [$s, $m, $r->{addr}]; }
for my $i (1 .. 3) { for (@m) { send($_->[0], $_->[1], 0, $_->[2]) or 1; } select(undef, undef, undef, 0.15); }"#;

/// Carries out [`crate::plan::Action::CheckLinks`].
///
/// # Errors
/// A node cannot listen or send, or a datagram does not arrive; every pair that fails is named.
pub(super) async fn check(
    run: &Run,
    listeners: &[NodeName],
    addresses: &BTreeMap<NodeName, Vec<IpAddr>>,
    ports: &[u16],
) -> Result<(), StepError> {
    let mut sessions = try_join_all(listeners.iter().map(|node| listen(run, node, addresses, ports))).await?;
    let mut expected: BTreeSet<String> = BTreeSet::new();
    let mut mail: BTreeMap<&NodeName, Vec<String>> = BTreeMap::new();
    for (from, to) in pairs(addresses.keys(), listeners) {
        for (link, port) in ports.iter().enumerate() {
            let (Some(source), Some(target)) = (addresses[from].get(link), addresses[to].get(link)) else {
                continue;
            };
            let message = format!("hactl {from} {to} {link}");
            expected.insert(message.clone());
            mail.entry(from).or_default().extend([
                target.to_string(),
                port.to_string(),
                message,
                source.to_string(),
            ]);
        }
    }
    try_join_all(mail.into_iter().map(|(node, words)| send(run, node, words))).await?;
    let deadline = Instant::now() + ARRIVAL_LIMIT;
    let arrived =
        join_all(sessions.iter_mut().map(|(node, session)| arrivals(node, session, &expected, deadline)))
            .await;
    let mut missing = expected;
    for message in arrived.into_iter().flatten() {
        missing.remove(&message);
    }
    if missing.is_empty() { Ok(()) } else { Err(blocked(&missing, addresses, ports)) }
}

fn pairs<'a>(
    from: impl Iterator<Item = &'a NodeName> + Clone,
    to: &'a [NodeName],
) -> impl Iterator<Item = (&'a NodeName, &'a NodeName)> {
    to.iter().flat_map(move |to| from.clone().filter(move |from| *from != to).map(move |from| (from, to)))
}

async fn listen(
    run: &Run,
    node: &NodeName,
    addresses: &BTreeMap<NodeName, Vec<IpAddr>>,
    ports: &[u16],
) -> Result<(NodeName, Box<dyn Session>), StepError> {
    let mut argv: Vec<String> = ["perl", "-e", LISTEN, LISTENER_LIFE_S].map(str::to_owned).into();
    for (address, port) in addresses.get(node).into_iter().flatten().zip(ports) {
        argv.extend([address.to_string(), port.to_string()]);
    }
    let mut session = run.transport(node)?.open(&Command::new(argv).timeout(SOCKET_TIMEOUT * 2)).await?;
    if session.line().await?.as_deref() == Some("ready") {
        return Ok((node.clone(), session));
    }
    let said = super::super::run::tail(&session.finish().await?);
    let reason = format!("{node} cannot listen on corosync's port: {said}");
    Err(StepError::guarded(
        reason,
        "end what uses the port, or correct `links` in the inventory, then run again",
    ))
}

async fn send(run: &Run, node: &NodeName, words: Vec<String>) -> Result<(), StepError> {
    let argv = ["perl", "-e", SEND].map(str::to_owned).into_iter().chain(words);
    let command = Command::new(argv).timeout(SOCKET_TIMEOUT);
    run.must(node, &command, "see the node's network, then run again").await.map(|_| ())
}

/// The messages that a listener hears until it has heard all that are for it, or until the deadline.
async fn arrivals(
    node: &NodeName,
    session: &mut Box<dyn Session>,
    expected: &BTreeSet<String>,
    deadline: Instant,
) -> BTreeSet<String> {
    let awaited = expected.iter().filter(|message| message.split(' ').nth(2) == Some(node.as_str())).count();
    let mut heard = BTreeSet::new();
    while heard.len() < awaited {
        // What a broken connection did not bring counts as not arrived, and is reported so.
        match tokio::time::timeout_at(deadline, session.line()).await {
            Ok(Ok(Some(line))) => {
                if expected.contains(&line) {
                    heard.insert(line);
                }
            }
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    heard
}

fn blocked(
    missing: &BTreeSet<String>,
    addresses: &BTreeMap<NodeName, Vec<IpAddr>>,
    ports: &[u16],
) -> StepError {
    let mut lines = Vec::new();
    for (from, all) in addresses {
        for (to, targets) in addresses {
            for (link, port) in ports.iter().enumerate() {
                if missing.contains(&format!("hactl {from} {to} {link}"))
                    && let (Some(source), Some(target)) = (all.get(link), targets.get(link))
                {
                    lines.push(format!(
                        "UDP port {port} does not pass from {from} ({source}) to {to} ({target}), link {link}"
                    ));
                }
            }
        }
    }
    StepError::guarded(
        lines.join("\n"),
        "open the port in the firewalls on the way, or correct `links`, then run again",
    )
}
