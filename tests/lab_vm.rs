//! The lab of virtual machines, for real: kernels of their own, DRBD in them, watchdogs, a shared disk, power, fencing, and
//! that nothing is left. Minutes under emulation, so it runs when it is asked for (`make test-vm`).

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_vm/controller_pair.rs"]
mod controller_pair;
#[path = "lab_vm/down.rs"]
mod down;
#[path = "lab_vm/interop.rs"]
mod interop;
#[path = "lab_vm/kernel_nbd.rs"]
mod kernel_nbd;
#[path = "lab_vm/nfs_pair.rs"]
mod nfs_pair;
#[path = "lab_vm/pair.rs"]
mod pair;
#[path = "lab_vm/refusals.rs"]
mod refusals;
#[path = "lab_vm/sbd.rs"]
mod sbd;
#[path = "lab_vm/ublk.rs"]
mod ublk;

fn main() -> std::process::ExitCode {
    // In the order of .config/nextest.toml.
    let of_debian_12: [lab::Test; 8] = [
        ("a_file_service_on_two_nodes", nfs_pair::a_file_service_on_two_nodes),
        ("sbd_on_a_shared_disk", sbd::sbd_on_a_shared_disk),
        ("a_controller_pair", controller_pair::a_controller_pair),
        ("sbd_without_a_disk", sbd::sbd_without_a_disk),
        ("a_pair_of_virtual_machines", pair::a_pair_of_virtual_machines),
        ("engine_and_kernel_exchange_a_volume", interop::engine_and_kernel_exchange_a_volume),
        ("the_kernels_nbd_client_has_a_volume", kernel_nbd::the_kernels_nbd_client_has_a_volume),
        ("killed_labs_leave_nothing", down::killed_labs_leave_nothing),
    ];
    // The kernel of Debian 12 has no ublk driver.
    lab::run_vm_tests(&of_debian_12, &[("ublk_has_a_volume", ublk::ublk_has_a_volume)])
}
