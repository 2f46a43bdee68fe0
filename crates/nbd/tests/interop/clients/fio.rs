//! `fio` with its NBD engine.

use nbd::TlsPolicy;

use super::program::{run, succeed};
use crate::server::{ALL, Server};

/// Whether this fio was built with libnbd.
pub(crate) fn has_engine() -> bool {
    let engines = run("fio", &["--enghelp"]);
    String::from_utf8_lossy(&engines.stdout).lines().any(|line| line.trim() == "nbd")
}

pub(crate) fn verifies() {
    let server = Server::start(16 << 20, ALL, TlsPolicy::Unsupported);
    let uri = format!("--uri={}", server.uri("r0"));
    let job = [
        "--name=verify",
        "--ioengine=nbd",
        &uri,
        "--rw=randrw",
        "--bs=4k",
        "--iodepth=16",
        "--size=16m",
        "--randseed=7",
        "--fsync=32",
        "--verify=crc32c",
        "--verify_fatal=1",
        "--verify_state_save=0",
    ];
    let report = succeed("fio", &job);
    assert!(report.contains("err= 0"), "{report}");
    assert!(server.served("write") > 100 && server.served("read") > 100 && server.served("flush") > 0);
    assert!(server.disk.lock().unwrap().refused.is_empty());
}
