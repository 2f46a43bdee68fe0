//! Two engines as real processes on one machine, with files as disks: killed, stopped, and looked at by the public tools.
//! What is not installed is named and counted as skipped.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../../tests/support/harness.rs"]
mod harness;

// The kernel's protocol, for disks that the tests serve themselves.
#[path = "../../src/blockdev/wire.rs"]
#[allow(dead_code, unused_imports)]
mod fuse_wire;

mod blockdev;
mod congestion;
mod disks;
mod failures;
mod fencing;
mod interop;
mod link;
mod media;
mod nbd_client;
mod orders;
mod pair;
mod power;
mod protocols;
mod proxy;
mod resize;
mod two_primaries;

const FIO: &[(&str, &str)] = &[("fio", "fio")];
const CLIENTS: &[(&str, &str)] = &[
    ("nbdinfo", "libnbd-bin"),
    ("nbdcopy", "libnbd-bin"),
    ("nbdsh", "python3-libnbd"),
    ("qemu-io", "qemu-utils"),
    ("qemu-img", "qemu-utils"),
];
const SYSTEM: &[(&str, &str)] = &[("losetup", "mount"), ("mkfs.ext4", "e2fsprogs"), ("fstrim", "util-linux")];
const DRBDMETA: &[(&str, &str)] = &[("drbdmeta", "drbd-utils")];

fn main() -> std::process::ExitCode {
    let test = harness::with_tools;
    let mut block_device =
        test("a_file_system_on_the_block_device_moves_and_survives", SYSTEM, blockdev::file_system);
    block_device.missing = block_device.missing.or_else(blockdev::missing);
    let on_media = |name, run| {
        let mut test = test(name, &[], run);
        test.missing = test.missing.or_else(blockdev::missing);
        test
    };
    let mut grown_device = test("the_block_device_grows_with_the_volume", SYSTEM, resize::block_device);
    grown_device.missing = grown_device.missing.or_else(blockdev::missing);
    harness::run_tests(&[
        block_device,
        grown_device,
        test("a_volume_grows_while_it_is_in_use", &[], resize::grows),
        test("a_volume_whose_disks_grew_is_started_before_it_grows", &[], resize::started_in_between),
        test("a_volume_does_not_grow_without_its_peer", &[], resize::alone_is_refused),
        test("drbdmeta_reads_what_growing_leaves", DRBDMETA, resize::drbdmeta_reads_it),
        on_media("a_primary_whose_disk_fails_goes_on_over_its_peer", disks::primary_detaches),
        on_media("a_secondary_whose_disk_fails_is_left_behind", disks::secondary_detaches),
        on_media("a_primary_alone_whose_disk_fails_says_so", disks::alone),
        on_media("a_block_that_cannot_be_read_comes_from_the_peer", disks::passed_on),
        on_media("all_that_was_flushed_survives_a_power_cut_of_both", power::both),
        on_media("the_survivor_of_a_power_cut_has_all_and_the_other_catches_up", power::one),
        test("protocols_differ_in_what_they_wait_for", &[], protocols::waits),
        test("under_protocols_a_and_b_a_flush_reaches_the_peer", &[], protocols::flushed),
        test("a_primary_goes_ahead_of_a_slow_link_and_comes_back", &[], congestion::ahead),
        test("a_peer_on_a_slow_link_is_let_go_and_comes_back", &[], congestion::disconnect),
        test("two_primaries_write_to_the_same_blocks_and_both_disks_are_equal", &[], two_primaries::cross),
        test("the_survivor_of_two_primaries_has_what_both_wrote", &[], two_primaries::survivor),
        test("a_second_primary_is_refused_and_let_in_with_reasons", &[], two_primaries::refusals),
        test("io_waits_for_the_answer_of_the_fence_peer_handler", &[], fencing::exit_codes),
        test("a_promotion_stands_or_falls_with_the_fence_peer_handler", &[], fencing::promotion),
        test("a_damaged_link_costs_a_connection_and_nothing_else", &[], link::damaged),
        test("a_damaged_link_without_encryption_is_noticed_too", &[], link::damaged_unprotected),
        test("without_its_peer_a_volume_with_quorum_waits_or_fails", &[], failures::quorum),
        test("verify_finds_exactly_what_differs", &[], failures::verify),
        test("fio_verifies_what_it_wrote_and_both_disks_are_equal", FIO, interop::fio),
        test("fio_verifies_with_threads_instead_of_io_uring", FIO, interop::fio_with_threads),
        test("clients_copy_trim_and_see_errors", CLIENTS, interop::clients),
        test("drbdmeta_reads_what_a_clean_stop_and_a_kill_leave", DRBDMETA, interop::drbdmeta),
        test("a_killed_secondary_gets_only_what_changed", &[], failures::killed_secondary),
        test("a_stopped_secondary_is_left_behind_and_catches_up", &[], failures::stopped_secondary),
        test("the_survivor_of_a_killed_primary_has_every_acknowledged_write", &[], failures::killed_primary),
        test("both_killed_come_back_with_every_flushed_write", &[], failures::both_killed),
        test("a_peer_with_another_secret_is_never_connected", &[], failures::wrong_secret),
        test("roles_are_refused_with_reasons", &[], orders::refusals),
        test("split_brain_is_seen_and_resolved_by_order", &[], orders::split_brain),
        test("events_tell_what_happens", &[], orders::events),
        test("a_volume_comes_up_and_goes_down_by_order", &[], orders::up_and_down),
    ])
}
