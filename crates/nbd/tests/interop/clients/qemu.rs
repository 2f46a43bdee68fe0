//! `qemu-io` and `qemu-img`.

use nbd::TlsPolicy;

use super::pattern::pattern;
use super::program::{run, succeed};
use crate::server::{ALL, Server};

const SIZE: usize = 16 << 20;

pub(crate) fn io() {
    let server = Server::start(SIZE as u64, ALL, TlsPolicy::Unsupported);
    let commands = [
        "write -P 0xab 1M 64k",
        "write -f -P 0xcd 2M 512",
        "aio_write -P 0x11 4M 1M",
        "aio_write -P 0x22 5M 1M",
        "aio_flush",
        "flush",
        "read -P 0xab 1M 64k",
        "read -P 0xcd 2M 512",
        "read -P 0x11 4M 1M",
        "read -P 0x22 5M 1M",
        "write -z -u 4M 512k",
        "write -z 5M 4k",
        "discard 1M 32k",
        "read -P 0 4M 512k",
        "read -P 0 5M 4k",
        "read -P 0x11 4608k 512k",
        "read -P 0 1M 32k",
        "read -P 0xab 1056k 32k",
    ];
    let uri = server.uri("r0");
    let mut arguments = vec!["-f", "raw"];
    commands.iter().for_each(|command| arguments.extend(["-c", command]));
    arguments.push(&uri);
    let said = succeed("qemu-io", &arguments);
    assert!(!said.contains("verification failed") && !said.contains("error"), "{said}");
    for (kind, least) in [("write with FUA", 1), ("flush", 1), ("write zeroes", 2), ("trim", 1)] {
        assert!(server.served(kind) >= least, "{kind}: {:?}", server.disk.lock().unwrap().served);
    }
    assert!(server.disk.lock().unwrap().refused.is_empty());
}

pub(crate) fn img() {
    let server = Server::start(SIZE as u64, ALL, TlsPolicy::Unsupported);
    let uri = server.uri("r0");
    let file = server.folder().join("image");
    let file = file.to_str().unwrap();
    std::fs::write(file, pattern(SIZE)).unwrap();
    succeed("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", file, &uri]);
    let said = succeed("qemu-img", &["compare", "-f", "raw", "-F", "raw", file, &uri]);
    assert!(said.contains("Images are identical"), "{said}");
    assert!(server.served("block status") > 0, "the comparison asks for allocation");

    let map: serde_json::Value =
        serde_json::from_str(&succeed("qemu-img", &["map", "--output=json", "-f", "raw", &uri])).unwrap();
    let holes: Vec<u64> = map
        .as_array()
        .unwrap()
        .iter()
        .filter(|extent| extent["zero"] == true)
        .map(|extent| extent["start"].as_u64().unwrap() >> 20)
        .collect();
    assert_eq!(holes, [2, 5, 8, 11, 14], "{map}");

    succeed("qemu-io", &["-f", "raw", "-c", "write -P 7 9M 512", &uri]);
    let output = run("qemu-img", &["compare", "-f", "raw", "-F", "raw", file, &uri]);
    assert_eq!(output.status.code(), Some(1), "one changed sector is seen");
}
