//! From an action to the function that carries it out. The action decides everything; nothing here chooses.

use super::{
    claims, cluster, devices, directories, files, kernel, links, packages, program, secrets, units, volumes,
};
use crate::apply::LedgerStore;
use crate::apply::run::{Run, StepError};
use crate::plan::{Action, Step};

/// Carries out the action of a step.
///
/// # Errors
/// What came back from the node, and what to do next.
pub(in super::super) async fn perform(
    step: &Step,
    run: &Run,
    ledger: &mut LedgerStore,
) -> Result<(), StepError> {
    match &step.action {
        Action::InstallPackages { packages, keep_stopped } => {
            packages::install(step, run, ledger, packages, keep_stopped).await
        }
        Action::CheckPackages { packages } => packages::check(step, run, packages).await,
        Action::RemovePackages { packages } => packages::remove(step, run, ledger, packages).await,
        Action::ReplaceFile { .. } => files::replace(step, run, ledger).await,
        Action::InstallProgram { path, digest } => program::install(step, run, ledger, path, digest).await,
        Action::RemoveFile { path, restore } => {
            files::remove(step, run, ledger, path, restore.as_deref()).await
        }
        Action::Unit { unit, verb } => units::change(step, run, ledger, unit, *verb).await,
        Action::GenerateSecret { path, size_bytes, text } => {
            secrets::generate(step, run, ledger, path, *size_bytes, text.as_deref()).await
        }
        Action::CopySecret { path, from } => secrets::copy(step, run, ledger, path, from).await,
        Action::LoadModule { name } => kernel::load_module(step, run, name).await,
        Action::SetSysctl { key, value } => kernel::set_sysctl(step, run, key, value).await,
        Action::CheckLinks { listeners, addresses, ports } => {
            links::check(run, listeners, addresses, ports).await
        }
        Action::ReloadCorosync => cluster::reload_corosync(step, run).await,
        Action::Maintenance { on } => cluster::maintenance(step, run, *on).await,
        Action::Standby { target, on } => cluster::standby(step, run, target, *on).await,
        Action::PatchCib { desired, .. } => cluster::patch_cib(step, run, desired).await,
        Action::StopAllResources => cluster::stop_all(step, run).await,
        Action::RemoveClusterState => cluster::remove_state(step, run).await,
        Action::ForgetLedger => files::forget_ledger(step, run).await,
        Action::ClaimDevice { purpose, entry } => claims::claim(step, run, ledger, purpose, entry).await,
        Action::ReleaseClaim { purpose } => claims::release(step, run, ledger, purpose).await,
        Action::WipeSignatures { .. } => devices::wipe(step, run).await,
        Action::MakeFilesystem { fstype, uuid, .. } => {
            devices::make_filesystem(step, run, *fstype, uuid).await
        }
        Action::CreateSbdHeader { watchdog_timeout_s, msgwait_timeout_s, .. } => {
            devices::create_sbd_header(step, run, *watchdog_timeout_s, *msgwait_timeout_s).await
        }
        Action::CreateVolumeMetadata { target } => volumes::create_metadata(step, run, target).await,
        Action::Volume { target, verb } => volumes::verb(step, run, target, verb).await,
        Action::MakeVolumeFilesystem { target, fstype, uuid, unfinished } => {
            volumes::make_filesystem(step, run, target, *fstype, uuid, *unfinished).await
        }
        Action::GrowVolumeFilesystem { target, fstype, mount } => {
            volumes::grow_filesystem(step, run, target, *fstype, mount).await
        }
        Action::SeedDirectory { directory, mount, open } => {
            directories::seed(step, run, directory, mount, open.as_ref()).await
        }
        Action::LinkDirectory { directory, target } => directories::link(step, run, directory, target).await,
        Action::CleanupResource { resource, target } => cluster::cleanup(step, run, resource, target).await,
        Action::ReloadUnitFiles => units::reload_unit_files(step, run).await,
        // The executor waits without the node's mutex and never comes here with one.
        Action::Wait { .. } => Ok(()),
    }
}
