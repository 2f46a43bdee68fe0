//! Resynchronisation after an outage: the peer is killed, blocks are written meanwhile, and it comes back.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::disks::{AREA_BYTES, Disks};
use crate::engine::{Pair, in_sync, peer};
use crate::figure::{Figure, Goal};
use crate::fio::{SEQUENTIAL, Target, WRITE_32, scatter};
use crate::side::C;

/// Bytes written while the peer is away, in random blocks.
const SCATTERED_BYTES: u64 = 64 << 20;
/// Seconds of sequential writing, which the rate is compared with, and which marks everything while the peer is away.
const SECONDS: u32 = 3;

struct Resync {
    dirty_bytes: u64,
    wire_bytes: u64,
    seconds: f64,
}

impl Resync {
    fn mib_per_s(&self) -> f64 {
        self.dirty_bytes as f64 / f64::from(1 << 20) / self.seconds
    }

    fn wire_ratio(&self) -> f64 {
        self.wire_bytes as f64 / self.dirty_bytes as f64
    }
}

/// Measures, in the engine's default: protocol C, encrypted.
pub(crate) fn measure(disks: &Disks) -> Result<Vec<Figure>> {
    let link = C.link().context("protocol C is replicated")?;
    let mut pair = Pair::start(disks, link)?;
    let target = Target::Nbd(pair.writer.uri());
    let sequential = SEQUENTIAL.run(&target, SECONDS)?.mib_per_s;
    // Blocks here and there cannot be copied faster than they can be written.
    let random = WRITE_32.run(&target, SECONDS)?.mib_per_s;
    let scattered = resync(disks, &mut pair, || scatter(&target, SCATTERED_BYTES))?;
    let whole = resync(disks, &mut pair, || SEQUENTIAL.run(&target, SECONDS).map(drop))?;
    pair.end()?;
    let told = |what: &str, resync: &Resync, against: &str, written: f64| {
        let name = |figure: &str| format!("resync of {what}: {figure}");
        let (dirty, wire) = (resync.dirty_bytes >> 20, resync.wire_bytes >> 20);
        let rate = resync.mib_per_s();
        [
            Figure::new(
                &name("bytes on the wire"),
                "the dirty blocks",
                Goal::AtMost(1.1),
                resync.wire_ratio(),
                "x",
                format!("{wire} MiB both ways for {dirty} MiB"),
            ),
            Figure::new(
                &name("rate"),
                against,
                Goal::AtLeast(0.7),
                rate / written,
                "x",
                format!("{rate:.0} against {written:.0} MiB/s, {:.2} s", resync.seconds),
            ),
        ]
    };
    let name = format!("{} MiB in random 4 KiB blocks", SCATTERED_BYTES >> 20);
    let mut figures =
        told(&format!("{} MiB", AREA_BYTES >> 20), &whole, SEQUENTIAL.name, sequential).to_vec();
    figures.extend(told(&name, &scattered, WRITE_32.name, random));
    Ok(figures)
}

/// From the moment the two have met again until both are up to date.
fn resync(disks: &Disks, pair: &mut Pair, meanwhile: impl FnOnce() -> Result<()>) -> Result<Resync> {
    pair.peer.process.kill()?;
    let away = |status: &serde_json::Value| peer(status)["replication-state"] == "Off";
    pair.writer.wait("the peer's loss is noticed", away)?;
    meanwhile()?;
    let status = pair.writer.status()?;
    let kib = peer(&status)["out-of-sync"].as_u64().context("no `out-of-sync` in the status")?;
    let before = pair.writer.wire_bytes()?;
    pair.restart_peer(disks)?;
    let meets = |status: &serde_json::Value| peer(status)["replication-state"] != "Off";
    pair.writer.wait("the peer is back", meets)?;
    let began = Instant::now();
    pair.writer.wait("both are up to date", in_sync)?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Resync { dirty_bytes: kib * 1024, wire_bytes: pair.writer.wire_bytes()? - before, seconds })
}
