//! LINBIT's own `drbdmeta` as the judge: what it creates is read here, what is written here it dumps, restores,
//! recovers and converts. It works on plain files; where it is not installed its tests are named and skipped.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../../tests/support/harness.rs"]
mod harness;

mod apply;
mod convert;
mod create;
mod drbdmeta;
mod dump;

fn main() -> std::process::ExitCode {
    let test = |name, run| harness::with_tools(name, &[("drbdmeta", "drbd-utils")], run);
    harness::run_tests(&[
        test("what_drbdmeta_creates_is_read", create::what_drbdmeta_creates_is_read),
        test("what_is_created_here_is_what_drbdmeta_creates", create::byte_for_byte),
        test("devices_too_small_for_drbdmeta_are_too_small_here", create::too_small),
        test("drbdmeta_dumps_what_was_written", dump::every_field_and_bit),
        test("drbdmeta_restores_its_dump_of_what_was_written", dump::restored),
        test("changes_made_by_drbdmeta_are_read", dump::changes),
        test("drbdmeta_marks_the_same_blocks_after_a_crash", apply::same_blocks),
        test("drbdmeta_reads_a_log_that_has_gone_round", apply::long_logs),
        test("drbdmeta_and_recovery_agree_on_torn_transactions", apply::torn),
        test("metadata_becomes_that_of_drbd_8_and_back", convert::there_and_back),
        test("the_manual_converts_all_that_both_formats_have", convert::by_the_manual),
    ])
}
