//! `nbdcopy`.

use nbd::TlsPolicy;

use super::pattern::pattern;
use super::program::succeed;
use crate::server::{ALL, Server};

const SIZE: usize = 16 << 20;

pub(crate) fn there_and_back() {
    let server = Server::start(SIZE as u64, ALL, TlsPolicy::Unsupported);
    let data = pattern(SIZE);
    let (there, back) = (server.folder().join("there"), server.folder().join("back"));
    std::fs::write(&there, &data).unwrap();
    succeed("nbdcopy", &["--flush", there.to_str().unwrap(), &server.uri("r0")]);
    assert!(server.disk.lock().unwrap().contents() == data, "the export holds what was copied to it");
    assert!(server.served("flush") > 0);
    assert!(server.served("write zeroes") > 0, "zeroes were recognised and sent as such");

    let parallel = ["--connections=4", "--requests=16", &server.uri("r0"), back.to_str().unwrap()];
    succeed("nbdcopy", &parallel);
    assert!(std::fs::read(&back).unwrap() == data, "what was copied back is what was copied there");
    assert!(server.disk.lock().unwrap().refused.is_empty());
}
