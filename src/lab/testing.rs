//! A record to test with.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::names::NodeName;

use super::config::{Backend, Storage, Suite};
use super::record::{FenceDevice, LabDisk, LabNetwork, LabNode, LabRecord, Phase, RECORD_FORMAT};

/// Three nodes, two networks, one disk each.
pub(crate) fn record() -> LabRecord {
    let node = |index: u8, name: &str| LabNode {
        name: NodeName::new(name).unwrap(),
        index: index.into(),
        addresses: vec![Ipv4Addr::new(10, 231, 7, 11 + index), Ipv4Addr::new(10, 232, 7, 11 + index)],
        disks: vec![LabDisk {
            name: "data1".to_owned(),
            size_bytes: 256 << 20,
            serial: format!("{name}-data1"),
            wwn: Some(format!("0x5000c5ff0000000{index}")),
            shared: false,
            device: Some(PathBuf::from(format!("/dev/loop{index}"))),
        }],
    };
    LabRecord {
        format: RECORD_FORMAT,
        name: "lab".parse().unwrap(),
        phase: Phase::Up,
        boot_id: "boot".to_owned(),
        backend: Backend::Container,
        accelerator: None,
        baked: false,
        suite: Suite::Bookworm,
        nodes: vec![node(0, "alpha"), node(1, "beta"), node(2, "gamma")],
        networks: vec![
            LabNetwork {
                number: 1,
                subnet: Ipv4Addr::new(10, 231, 7, 0),
                host: Some(Ipv4Addr::new(10, 231, 7, 254)),
            },
            LabNetwork { number: 2, subnet: Ipv4Addr::new(10, 232, 7, 0), host: None },
        ],
        image: "/image".into(),
        packages: "/packages".into(),
        hactl: "/usr/bin/hactl".into(),
        fence: FenceDevice {
            ip: Ipv4Addr::new(10, 231, 7, 253),
            port: 7850,
            secret: "/lab/fence-secret".into(),
        },
        storage: Storage::Memory,
        boot_delay_ms: 10_000,
    }
}
