//! The result of a failover drill: what was cut, how long users noticed, what was lost.

use std::fmt::Write as _;
use std::time::Duration;

use super::diff::printable;
use super::table::{Columns, Tone, cell};
use super::{Theme, count, duration, size, verify_text};
use crate::verify::drill::DrillReport;

/// Columns by which the table is indented.
const INDENT: usize = 2;

/// The text.
#[must_use]
pub fn drill_text(report: &DrillReport, all: bool, theme: Theme) -> String {
    let mut out = format!(
        "{}\n",
        theme.heading(format!("failover drill of {} in cluster {}", report.group, report.cluster))
    );
    let mut table = Columns::new(&["what", "result", ""], theme);
    let mut row = |what: &str, result: String, tone: Tone, more: String| {
        table.row(vec![cell(what, Tone::Plain), cell(result, tone), cell(more, Tone::Plain)]);
    };
    let time = |ms: Option<u64>| match ms {
        Some(ms) => (duration(Duration::from_millis(ms)), Tone::Plain),
        None => ("never".to_owned(), Tone::Bad),
    };
    let (fenced, tone) = time(report.fenced_after_ms);
    row("fenced", fenced, tone, format!("{}, asked for by {}", report.victim, report.asked));
    match &report.survivor {
        Some(node) => row("took over", node.to_string(), Tone::Good, String::new()),
        None => row("took over", "nobody".to_owned(), Tone::Bad, String::new()),
    }
    if let Some(writes) = &report.writes {
        let (away, tone) = time(writes.outage_ms);
        row("no writes for", away, tone, writes.directory.clone());
        let tone = if writes.lost == 0 { Tone::Good } else { Tone::Bad };
        let more = format!("of {} acknowledged", count(writes.acknowledged, "write"));
        row("writes lost", writes.lost.to_string(), tone, more);
    }
    if let Some(requests) = &report.requests {
        let (away, tone) = time(requests.outage_ms);
        row("no answers for", away, tone, requests.asked.clone());
        let more = format!("of {}", count(requests.sent, "request"));
        row("requests failed", requests.failed.to_string(), Tone::Plain, more);
    }
    if let Some(bytes) = report.resynced_bytes {
        row("resynced", size(bytes), Tone::Plain, "by the log of the survivor".to_owned());
    }
    let (back, tone) = time(report.back_after_ms);
    row("back and clean", back, tone, report.victim.to_string());
    out.push_str(&table.text(INDENT));
    for problem in &report.problems {
        let _ = writeln!(out, "  {}  {}", theme.alarm("FAILED"), printable(problem));
    }
    out.push_str(&verify_text(&report.after, all, theme));
    let sum = if report.survived() {
        theme.good("The cluster survived it: nothing that was acknowledged is lost.").to_string()
    } else {
        theme.alarm("The drill FAILED.").to_string()
    };
    let _ = writeln!(out, "{sum}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ClusterName, NodeName};
    use crate::verify::drill::{DRILL_FORMAT, RequestReport, WriteReport};
    use crate::verify::{REPORT_FORMAT, VerifyReport};

    fn report(lost: usize, survivor: Option<&str>) -> DrillReport {
        DrillReport {
            format: DRILL_FORMAT,
            drill: "failover",
            cluster: ClusterName::new("pair").unwrap(),
            group: "db".to_owned(),
            victim: NodeName::new("alpha").unwrap(),
            asked: NodeName::new("beta").unwrap(),
            survivor: survivor.map(|node| NodeName::new(node).unwrap()),
            fenced_after_ms: Some(1_200),
            back_after_ms: Some(95_000),
            writes: Some(WriteReport {
                directory: "/srv/db".to_owned(),
                acknowledged: 1200,
                lost,
                outage_ms: survivor.map(|_| 9_100),
            }),
            requests: Some(RequestReport {
                asked: "192.0.2.9 port 80".to_owned(),
                sent: 400,
                failed: 9,
                outage_ms: Some(9_400),
            }),
            resynced_bytes: Some(12 * 1024),
            after: VerifyReport { format: REPORT_FORMAT, results: Vec::new() },
            problems: Vec::new(),
        }
    }

    #[test]
    fn the_table_tells_what_users_noticed() {
        assert_eq!(
            drill_text(&report(0, Some("beta")), false, Theme::new(false)),
            "failover drill of db in cluster pair
  what             result
  fenced           1.2 s       alpha, asked for by beta
  took over        beta
  no writes for    9.1 s       /srv/db
  writes lost      0           of 1200 writes acknowledged
  no answers for   9.4 s       192.0.2.9 port 80
  requests failed  9           of 400 requests
  resynced         12.0 KiB    by the log of the survivor
  back and clean   1 min 35 s  alpha
Verified: 0 checks, all hold.
The cluster survived it: nothing that was acknowledged is lost.
"
        );
    }

    #[test]
    fn a_lost_write_or_a_group_that_is_away_is_a_failure() {
        for failed in [report(1, Some("beta")), report(0, None)] {
            assert!(!failed.survived());
            assert!(drill_text(&failed, false, Theme::new(false)).ends_with("The drill FAILED.\n"));
        }
    }
}
