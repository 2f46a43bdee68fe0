//! Bad input and bad nodes, on real nodes: each is refused with the documented exit code, with what is wrong, where,
//! and what to do; nothing is changed on any node; and when the cause is gone, the same command goes on.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_refusals/cluster.rs"]
mod cluster;
#[path = "lab_refusals/inventory.rs"]
mod inventory;
#[path = "lab_refusals/login.rs"]
mod login;
#[path = "lab_refusals/nodes.rs"]
mod nodes;
#[path = "lab_refusals/packages.rs"]
mod packages;
#[path = "lab_refusals/secrets.rs"]
mod secrets;
#[path = "lab_refusals/setting.rs"]
mod setting;
#[path = "lab_refusals/watch.rs"]
mod watch;

use setting::Setting;

fn main() -> std::process::ExitCode {
    lab::run_tests(&[
        ("bad_input_and_bad_nodes", bad_input_and_bad_nodes),
        ("failed_installation_and_foreign_objects", failed_installation_and_foreign_objects),
    ])
}

/// Everything that is refused before anything is changed, on bare nodes that stay bare.
fn bad_input_and_bad_nodes() {
    let mut setting = Setting::up("refusals");
    inventory::mistakes_are_told_before_anything_is_contacted(&mut setting);
    login::nodes_that_cannot_be_reached_or_logged_in_to(&mut setting);
    nodes::nodes_that_are_not_as_they_must_be(&mut setting);
    nodes::links_that_do_not_pass(&mut setting);
    packages::what_cannot_be_installed(&mut setting);
}

/// What goes wrong on the way from bare nodes to a cluster, and in a cluster.
fn failed_installation_and_foreign_objects() {
    let mut setting = Setting::up("failures");
    let watch = secrets::Watch::begin(&setting);
    packages::installation_that_fails_or_is_interrupted_is_completed(&mut setting);
    cluster::what_is_not_ours_or_of_another_name(&mut setting);
    cluster::resources_and_fence_devices_that_do_not_work(&mut setting);
    watch::status_is_watched(&mut setting);
    cluster::a_large_cib(&mut setting);
    secrets::nowhere(&mut setting, &watch);
}
