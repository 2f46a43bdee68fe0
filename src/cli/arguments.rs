//! The arguments of `hactl`: the verbs and the flags that all of them have.

use camino::Utf8PathBuf;
use clap::{ArgAction, Parser, Subcommand};

use super::apply::ApplyArgs;
use super::barclamp::BarclampArgs;
use super::claims::ClaimsArgs;
use super::completions::CompletionsArgs;
use super::destroy::DestroyArgs;
use super::discover::DiscoverArgs;
use super::drift::DriftArgs;
use super::init::InitArgs;
use super::lab::LabArgs;
use super::man::ManArgs;
use super::plan::PlanArgs;
use super::replica::ReplicaArgs;
use super::status::StatusArgs;
use super::validate::ValidateArgs;
use super::verify::VerifyArgs;
use crate::ui::ColorChoice;

/// What stands below the verbs in `hactl --help`.
const AFTER_HELP: &str = "Results go to stdout, everything else to stderr. \
NO_COLOR, CI, TERM=dumb and a stdout that is no terminal are respected: no colour, one line per event.\n\n\
Exit codes: 0 done or nothing to do, 1 failed, 2 differences (plan --detailed-exitcode, drift), 3 usage or inventory \
error, 4 node not reachable, 5 blocked, 6 stale plan, 7 locked, 8 not verified, 130 interrupted.";

/// Turns one YAML inventory into a running, fenced high-availability cluster
#[derive(Debug, Parser)]
#[command(name = "hactl", version, about, after_help = AFTER_HELP, max_term_width = 100)]
#[command(arg_required_else_help = true, subcommand_required = true, disable_help_subcommand = true)]
pub struct Arguments {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that every verb has.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Common flags")]
pub struct GlobalArgs {
    /// When to use colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true)]
    pub color: ColorChoice,
    /// Tell more (-v: every step and what each node came to; -vv, -vvv: more in the log)
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Tell only results and problems
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Keep the log of every remote command in this file
    #[arg(long, value_name = "FILE", global = true)]
    pub log: Option<Utf8PathBuf>,
}

/// What hactl can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a commented inventory to begin with
    Init(InitArgs),
    /// Check the inventory without contacting a node; every mistake is told at once
    Validate(ValidateArgs),
    /// Show what is on the nodes: systems, links, block devices, software, clusters; changes nothing
    Discover(DiscoverArgs),
    /// Show what would change, in order, and what that disturbs; changes nothing
    Plan(PlanArgs),
    /// Make the nodes what the inventory says
    Apply(ApplyArgs),
    /// Prove that the cluster does what the inventory says
    Verify(VerifyArgs),
    /// Show nodes, quorum, links, fencing and resources on one screen
    Status(StatusArgs),
    /// Show what differs and who probably changed it; changes nothing
    Drift(DriftArgs),
    /// Show which devices are claimed on the nodes, forget a claim
    Claims(ClaimsArgs),
    /// Take the cluster down and remove what hactl made
    Destroy(DestroyArgs),
    /// The embedded replication engine on this node: serve a volume, look at it, give it orders
    Replica(ReplicaArgs),
    /// Real nodes on this machine, to try things with
    Lab(LabArgs),
    /// Look at barclamps, begin one, test one
    Barclamp(BarclampArgs),
    /// Write a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
}
