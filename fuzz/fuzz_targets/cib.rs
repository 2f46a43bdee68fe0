//! Whatever Pacemaker's tools might print is read or refused, and what was read is written back the same.

#![no_main]

use hactl::cib::{
    Cib, CibPatch, Ownership, diff, nothing, parse_crm_mon, parse_crm_simulate, patch_between,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = (parse_crm_mon(text), parse_crm_simulate(text), CibPatch::parse(text));
    // Two CIBs, one after the other, with a NUL between them: the difference must apply.
    let (first, second) = text.split_once('\0').unwrap_or((text, ""));
    let Ok(live) = Cib::parse(first) else { return };
    assert_eq!(Cib::parse(&live.render()).as_ref(), Ok(&live));
    let Ok(desired) = Cib::parse(second) else { return };
    if let Ok(found) = diff(&live, &desired, &Ownership::default(), &nothing)
        && let Some(patch) = found.patch
    {
        assert!(patch.apply(&live).is_ok());
    }
    if let Some(patch) = patch_between(&live, &desired, &nothing) {
        assert!(patch.apply(&live).is_ok());
    }
});
