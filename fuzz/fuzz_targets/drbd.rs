//! Whatever stands in a drbd.conf is read or refused; what was read, also as typed resources, is written back the same.

#![no_main]

use hactl::drbd::{DrbdConf, Entry, Generation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(conf) = DrbdConf::parse(text) else { return };
    assert_eq!(DrbdConf::parse(&conf.to_string()).as_ref(), Ok(&conf));
    let _ = (conf.common(), conf.includes().count());
    for generation in [Generation::V84, Generation::V9] {
        let Ok(resources) = conf.modernised(generation).conf.resources() else { continue };
        for resource in resources {
            // A value of several words becomes one that may be too long.
            let Ok(section) = resource.to_section() else { continue };
            let written = DrbdConf::from_entries(vec![Entry::Section(section)]).to_string();
            assert_eq!(DrbdConf::parse(&written).map(|conf| conf.resources()), Ok(Ok(vec![resource])));
        }
    }
});
