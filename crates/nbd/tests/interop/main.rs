//! Real clients against the codec: libnbd's tools, QEMU's, fio. The server is a thread per connection around a disk in
//! memory, the least that a codec needs to be spoken to. What is not installed is named and counted as skipped.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../../tests/support/harness.rs"]
mod harness;

mod clients;
mod server;

use clients::{copy, fio, info, qemu, shell};

const LIBNBD: &[(&str, &str)] =
    &[("nbdinfo", "libnbd-bin"), ("nbdcopy", "libnbd-bin"), ("nbdsh", "python3-libnbd")];
const NBDSH: &[(&str, &str)] = &[("nbdsh", "python3-libnbd")];
const QEMU: &[(&str, &str)] = &[("qemu-io", "qemu-utils"), ("qemu-img", "qemu-utils")];
const FIO: &[(&str, &str)] = &[("fio", "fio")];

fn main() -> std::process::ExitCode {
    let test = harness::with_tools;
    let mut fio = test("fio_verifies_what_it_wrote", FIO, fio::verifies);
    if fio.missing.is_none() && !fio::has_engine() {
        fio.missing = Some("this fio was built without the engine nbd".to_owned());
    }
    harness::run_tests(&[
        test("nbdinfo_reports_what_was_exported", LIBNBD, info::reports_what_was_exported),
        test("nbdinfo_can_tells_every_feature", LIBNBD, info::can_tells_every_feature),
        test("nbdinfo_lists_exports_and_allocation", LIBNBD, info::lists_exports_and_allocation),
        test("nbdinfo_is_told_that_tls_is_required", LIBNBD, info::is_told_that_tls_is_required),
        test("nbdcopy_there_and_back", LIBNBD, copy::there_and_back),
        test("nbdsh_malformed_requests_leave_the_connection_usable", NBDSH, shell::malformed_requests),
        test("nbdsh_options_that_fail_leave_the_handshake_usable", NBDSH, shell::failing_options),
        test("nbdsh_old_handshakes_and_simple_replies", NBDSH, shell::old_clients),
        test("nbdsh_structured_reads_hold_holes", NBDSH, shell::structured_reads),
        test("nbdsh_disk_errors_arrive_as_such", NBDSH, shell::disk_errors),
        test("qemu_io_writes_zeroes_discards_and_reads_back", QEMU, qemu::io),
        test("qemu_img_converts_maps_and_compares", QEMU, qemu::img),
        fio,
    ])
}
