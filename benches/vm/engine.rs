//! The engine's volumes: one whose link is encrypted, one whose link is open, over a disk of each node and the second network.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::pair::{PEER, Pair, WRITER};
use crate::side::{Link, SYNC_LIMIT_S};

/// Where the executable is on the nodes.
pub(crate) const PROGRAM: &str = "/usr/local/sbin/hactl";

/// The volume's name, which is that of its disks too.
pub(crate) fn volume(link: Link) -> &'static str {
    match link {
        Link::Encrypted => "sealed",
        Link::Open => "open",
    }
}

/// Its block device on the Primary.
pub(crate) fn device(link: Link) -> String {
    format!("/dev/hactl/by-res/{}", volume(link))
}

/// Its export there.
pub(crate) fn uri(link: Link) -> String {
    let name = volume(link);
    format!("nbd+unix:///{name}?socket=/run/hactl/replica/{name}/nbd")
}

/// Makes the volume of two blank disks, which are called equal and not copied.
pub(crate) fn set_up(pair: &Pair, link: Link) -> Result<()> {
    let name = volume(link);
    let (port, protection) = match link {
        Link::Encrypted => (7790, "shared-secret: known to this benchmark alone"),
        Link::Open => (7791, "unprotected: true"),
    };
    let mut text = String::from("version: 1\nattach: fuse\nnodes:\n");
    for (id, node) in [WRITER, PEER].into_iter().enumerate() {
        let address = pair.second_address(node)?;
        writeln!(
            text,
            "  {node}: {{ id: {id}, address: \"{address}:{port}\", disk: /dev/disk/by-id/virtio-{node}-{name} }}"
        )?;
    }
    writeln!(text, "net: {{ protocol: C, {protection} }}")?;
    for node in [WRITER, PEER] {
        let up = format!(
            "mkdir -p /etc/hactl/replica && umask 077 && printf '%s' '{text}' >/etc/hactl/replica/{name}.yml && \
             {PROGRAM} replica create-md {name} && {PROGRAM} replica up {name}"
        );
        pair.on(node, &up)?;
    }
    let until = |word: &str, state: &str| {
        format!(
            "for i in $(seq {SYNC_LIMIT_S}); do [ \"$({PROGRAM} replica {word} {name})\" = {state} ] && exit 0; sleep 1; done; \
             {PROGRAM} replica status {name} >&2; exit 1"
        )
    };
    pair.on(WRITER, &until("cstate", "Connected")).context("the two sides do not meet")?;
    let first = format!(
        "{PROGRAM} replica new-current-uuid --clear-bitmap {name} && {PROGRAM} replica primary {name}"
    );
    pair.on(WRITER, &first)?;
    pair.on(WRITER, &until("dstate", "UpToDate/UpToDate")).context("the two sides do not agree")?;
    pair.on(WRITER, &format!("test -b {}", device(link))).context("the block device is not there")?;
    Ok(())
}
