//! Whatever stands in a corosync.conf, or corosync's tools might print, is read or refused; what was read is written
//! back the same and differs from itself in nothing.

#![no_main]

use hactl::corosync::{
    ChangeClass, CorosyncConf, Version, classify, parse_cmap, parse_link_status, parse_node_status,
    parse_quorum_status, running_matches,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = (parse_link_status(text), parse_node_status(text), parse_quorum_status(text));
    let cmap = parse_cmap(text);
    if let Ok(conf) = CorosyncConf::parse(text) {
        assert_eq!(CorosyncConf::parse(&conf.to_string()).as_ref(), Ok(&conf));
        assert_eq!(classify(&conf, &conf, Version::new(3, 1, 7)).class, ChangeClass::None);
        if let Ok(cmap) = cmap {
            let _ = running_matches(&conf, &cmap);
        }
    }
});
