//! The power of the node with the virtual address is cut: how long until the service answers elsewhere, beyond the
//! timeouts that must pass.
//!
//! corosync may not call a silent node lost before its token timeout, and may not form the ring without it before the
//! consensus timeout (corosync.conf(5), `token`, `consensus`); both are read from the running corosync. Fencing has no
//! configured delay in the lab, so that all of it counts against the goal, as does starting the service and the lab's
//! own way of cutting the power.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::figure::{Figure, Goal};
use crate::lab::Lab;
use crate::measure::Samples;

/// How often the power is cut.
const ROUNDS: usize = 3;
/// How long beyond the timeouts it may take, in seconds.
const LIMIT_S: f64 = 2.0;
/// The service's port.
const PORT: u16 = 80;
/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_millis(200);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the service may stay away.
const AWAY_LIMIT: Duration = Duration::from_secs(90);
/// How long the lost node may take to be back.
const BACK_LIMIT: Duration = Duration::from_secs(180);

/// Measures.
///
/// # Errors
/// The service does not come back, or the node does not.
pub(crate) fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    let mut all = Samples::default();
    let mut timeouts = Duration::ZERO;
    for _ in 0..ROUNDS {
        let holder = holder(lab)?;
        let survivor = lab.nodes().into_keys().find(|node| *node != holder).context("another node")?;
        timeouts = configured(lab, &survivor)?;
        let began = Instant::now();
        lab.lab("fault", &["power-cut", &holder])?;
        loop {
            if let Some(who) = answer(&lab.vip)
                && who != holder
            {
                break;
            }
            if began.elapsed() > AWAY_LIMIT {
                bail!("the service did not come back within {} s", AWAY_LIMIT.as_secs());
            }
            std::thread::sleep(PAUSE);
        }
        all.push(began.elapsed());
        wait_for(lab, &survivor, &holder)?;
    }
    let timeouts_s = timeouts.as_secs_f64();
    Ok(vec![Figure::new(
        "power-cut of the node with the address -> first answer elsewhere",
        &format!("token + consensus, {timeouts_s:.2} s"),
        Goal::AtMost(LIMIT_S),
        all.median() - timeouts_s,
        "s",
        format!("{all} in all"),
    )])
}

/// Who answers at the address: HAProxy says the name of its node.
pub(crate) fn answer(address: &str) -> Option<String> {
    let address: SocketAddr = format!("{address}:{PORT}").parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, REQUEST_LIMIT).ok()?;
    stream.set_read_timeout(Some(REQUEST_LIMIT)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.trim().to_owned())
}

fn holder(lab: &Lab) -> Result<String> {
    let deadline = Instant::now() + AWAY_LIMIT;
    loop {
        if let Some(who) = answer(&lab.vip) {
            return Ok(who);
        }
        if Instant::now() > deadline {
            bail!("nobody answers at {}", lab.vip);
        }
        std::thread::sleep(PAUSE);
    }
}

/// The timeouts that must pass before the others may act.
fn configured(lab: &Lab, node: &str) -> Result<Duration> {
    let told = lab.on(
        node,
        "corosync-cmapctl -g runtime.config.totem.token; corosync-cmapctl -g runtime.config.totem.consensus",
    )?;
    let milliseconds: u64 = told
        .lines()
        .map(|line| {
            line.rsplit(" = ").next().unwrap_or_default().trim().parse::<u64>().context(line.to_owned())
        })
        .sum::<Result<u64>>()?;
    Ok(Duration::from_millis(milliseconds))
}

/// Waits until the lost node is a member again and nothing is left to do.
fn wait_for(lab: &Lab, survivor: &str, lost: &str) -> Result<()> {
    let deadline = Instant::now() + BACK_LIMIT;
    let back =
        format!("crm_node --partition | tr ' ' '\\n' | grep -qx {lost} && crm_resource --wait --timeout 60");
    while let Err(error) = lab.on(survivor, &back) {
        if Instant::now() > deadline {
            return Err(error.context(format!("{lost} is not back after {} s", BACK_LIMIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
