//! Whatever lsblk, sysfs, wipefs, blkid and the probes might print is read or refused; of what was read, nothing is free
//! against which anything speaks. The three answers stand one after the other with `\u{1}` between them.

#![no_main]

use hactl::claims::{Verdict, judge};
use hactl::discovery::recorded_block_devices;
use hactl::facts::{ClaimLedger, Fact};
use hactl::inventory::ClaimPolicy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut answers = bytes.splitn(3, |&byte| byte == 1);
    let mut next = || answers.next().unwrap_or_default();
    let Fact::Known(devices) = recorded_block_devices(next(), next(), next()) else { return };
    for (device, judged) in
        devices.iter().zip(judge(&devices, &ClaimPolicy::default(), Ok(&ClaimLedger::default())))
    {
        if judged.verdict == Verdict::Unclaimed {
            let content =
                device.content.known().expect("a device is not free while its contents are unknown");
            assert!(content.signatures.is_empty() && content.busy.is_none());
            assert!(device.mountpoints.is_empty() && device.holders.is_empty() && !device.read_only);
        }
    }
});
