//! What the cluster stack reports about itself.
//!
//! Absence is only what is certain: the tool is not installed, or it fails and systemd says that the daemon does
//! not run. A daemon that runs and does not answer (a cluster that is forming) is unknown, with the reason.

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError, brief};
use crate::facts::{ClusterQuery, Observation, Query};

/// Time limit of one report in seconds: shorter than the tools' own patience with a cluster that is forming.
const LIMIT_S: u32 = 5;
/// Time limit in seconds for asking systemd why a report failed.
const UNIT_LIMIT_S: u32 = 3;
/// Exit code of Pacemaker's tools when the daemon is not there (`CRM_EX_DISCONNECT`, `ENOTCONN`).
const DISCONNECTED: [u32; 2] = [102, 107];
/// Exit code of the shell when there is no such command.
const NOT_FOUND: u32 = 127;
/// Exit code of `corosync-quorumtool -s` without quorum, which is a report like any other.
const NOT_QUORATE: u32 = 2;
/// Exit code of Pacemaker's tools when a time limit is over (`CRM_EX_TIMEOUT`).
const TIMED_OUT: u32 = 124;
/// The whole report when Pacemaker has nothing left to do.
pub(super) const IDLE: &str = "idle";
/// What the script says about the daemon when a report failed.
const STATE: &str = "hactl-unit-state ";
/// The state on a machine that systemd does not run.
const NO_SYSTEMD: &str = "no-systemd";
/// The CIB on disk.
const CIB_FILE: &str = "/var/lib/pacemaker/cib/cib.xml";

/// Asks for one report.
pub(super) struct ClusterProbe(pub(super) ClusterQuery);

impl ClusterProbe {
    /// The tool and the unit that it talks to.
    fn tool(&self) -> (&'static str, &'static str) {
        match self.0 {
            ClusterQuery::Cib => ("cibadmin --query", "pacemaker.service"),
            ClusterQuery::Status => ("crm_mon -1 --output-as=xml", "pacemaker.service"),
            ClusterQuery::Cmap => ("corosync-cmapctl", "corosync.service"),
            ClusterQuery::Quorum => ("corosync-quorumtool -s", "corosync.service"),
            ClusterQuery::Links => ("corosync-cfgtool -s", "corosync.service"),
            ClusterQuery::Idle => ("crm_resource --wait --timeout 4", "pacemaker.service"),
            ClusterQuery::LeftoverCib => (CIB_FILE, ""),
        }
    }

    /// Whether the report is one although the command did not exit with 0.
    fn is_report(&self, answer: &Answer) -> bool {
        answer.status == 0
            || (self.0 == ClusterQuery::Quorum && answer.status == NOT_QUORATE && !answer.stdout.is_empty())
    }

    fn read(&self, answer: &Answer) -> Result<Option<String>, ProbeError> {
        let name = self.name();
        if self.is_report(answer) {
            return answer.text(name).map(|text| Some(text.to_owned()));
        }
        if self.0 == ClusterQuery::LeftoverCib {
            // grep: 1 and silence for a file without these lines, 2 and a word for one that it cannot read.
            return match (answer.status, answer.stderr.trim_end()) {
                (1, "") => Ok(Some(String::new())),
                (2, said) if said.ends_with(": No such file or directory") => Ok(None),
                _ => Err(answer.failure(name)),
            };
        }
        let state =
            answer.stderr.lines().find_map(|line| line.strip_prefix(STATE)).unwrap_or_default().trim();
        match state {
            _ if answer.status == NOT_FOUND => Ok(None),
            "inactive" | "failed" | "unknown" => Ok(None),
            NO_SYSTEMD if self.is_disconnected(answer) => Ok(None),
            _ if answer.timed_out() => Err(answer.failure(name)),
            _ => Err(ProbeError::Failed {
                probe: name,
                status: answer.status,
                reason: self.reason(answer, state),
            }),
        }
    }

    /// Without systemd's word: whether the tool itself says that nobody is there.
    fn is_disconnected(&self, answer: &Answer) -> bool {
        match self.0 {
            ClusterQuery::Cib | ClusterQuery::Status | ClusterQuery::Idle => {
                DISCONNECTED.contains(&answer.status)
            }
            ClusterQuery::Cmap | ClusterQuery::Quorum | ClusterQuery::Links => {
                answer.stderr.contains("CS_ERR_LIBRARY") || answer.stderr.contains("Cannot initialize")
            }
            ClusterQuery::LeftoverCib => false,
        }
    }

    fn reason(&self, answer: &Answer, state: &str) -> String {
        let said: Vec<&str> = answer.stderr.lines().filter(|line| !line.starts_with(STATE)).collect();
        let (_, unit) = self.tool();
        match state {
            "" | NO_SYSTEMD => brief(&said.join(" ")),
            state => format!("{} ({unit} is {state})", brief(&said.join(" "))),
        }
    }
}

impl Probe for ClusterProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        self.tool().0
    }

    fn command(&self) -> String {
        let (tool, unit) = self.tool();
        if self.0 == ClusterQuery::LeftoverCib {
            // Its first line (epochs, who wrote it and when) and the name of its cluster; never the rest.
            return format!(
                "grep -o -e '<cib [^>]*>' -e '<nvpair [^>]*name=\"cluster-name\"[^>]*>' {CIB_FILE}"
            );
        }
        // Its report is what is still to be done: it goes to stderr, and a time limit that is over is no failure.
        let (report, verdict) = match self.0 {
            ClusterQuery::Idle => (
                " 2>&1",
                format!("case $status in (0) printf '{IDLE}\n'; exit 0 ;; ({TIMED_OUT}) exit 0 ;; esac\n"),
            ),
            _ => ("", String::new()),
        };
        let program = tool.split(' ').next().unwrap_or(tool);
        // systemd is asked only why there is no report: a daemon that does not run is an absence.
        format!(
            "command -v {program} >/dev/null 2>&1 || exit {NOT_FOUND}\n\
             within {LIMIT_S} {tool}{report}; status=$?\n\
             {verdict}\
             if [ $status -ne 0 ]; then\n\
             \x20 state={NO_SYSTEMD}\n\
             \x20 [ ! -d /run/systemd/system ] || state=$(within {UNIT_LIMIT_S} systemctl is-active {unit} 2>/dev/null)\n\
             \x20 printf '\n{STATE}%s\n' \"$state\" >&2\n\
             fi\n\
             exit $status"
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        Ok(Observations::from([(Query::Cluster(self.0), Observation::Text(self.read(answer)?))]))
    }
}
