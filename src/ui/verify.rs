//! The result of a verification: every check, those that do not hold with what is wrong.

use std::fmt::Write as _;

use super::diff::printable;
use super::{Theme, count};
use crate::verify::VerifyReport;

/// The text; without `all`, only checks that do not hold, and the sum.
#[must_use]
pub fn verify_text(report: &VerifyReport, all: bool, theme: Theme) -> String {
    let mut out = String::new();
    let width = report.results.iter().map(|result| result.check.len()).max().unwrap_or(0);
    let mut cluster = None;
    for result in report.results.iter().filter(|result| all || result.problem.is_some()) {
        if cluster != Some(&result.cluster) {
            let _ = writeln!(out, "{}", theme.heading(format!("cluster {}", result.cluster)));
            cluster = Some(&result.cluster);
        }
        let sign = match &result.problem {
            None => theme.good("ok    ").to_string(),
            Some(_) => theme.alarm("FAILED").to_string(),
        };
        let place = result.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let _ = writeln!(out, "  {sign}  {:width$}  {}{place}", result.check, printable(&result.summary));
        for line in result.problem.iter().flat_map(|problem| problem.lines()) {
            let _ = writeln!(out, "            {}", printable(line));
        }
    }
    let failed = report.results.iter().filter(|result| result.problem.is_some()).count();
    let checks = count(report.results.len(), "check");
    let sum = match failed {
        0 => theme.good(format!("Verified: {checks}, all hold.")).to_string(),
        _ => theme.alarm(format!("Not verified: {failed} of {checks} do not hold.")).to_string(),
    };
    let _ = writeln!(out, "{sum}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ClusterName, NodeName};
    use crate::verify::{CheckResult, REPORT_FORMAT};

    fn result(check: &str, node: Option<&str>, problem: Option<&str>) -> CheckResult {
        CheckResult {
            cluster: ClusterName::new("web").unwrap(),
            check: check.to_owned(),
            summary: "it holds".to_owned(),
            node: node.map(|node| NodeName::new(node).unwrap()),
            problem: problem.map(str::to_owned),
        }
    }

    fn text(results: Vec<CheckResult>, all: bool) -> String {
        verify_text(&VerifyReport { format: REPORT_FORMAT, results }, all, Theme::new(false))
    }

    #[test]
    fn what_does_not_hold_says_what_is_wrong() {
        let results = vec![
            result("convergence", None, None),
            result("pacemaker/fenced", Some("alpha"), Some("no device\nat all")),
        ];
        assert_eq!(
            text(results.clone(), true),
            "cluster web
  ok      convergence       it holds
  FAILED  pacemaker/fenced  it holds on alpha
            no device
            at all
Not verified: 1 of 2 checks do not hold.
"
        );
        assert!(!text(results, false).contains("convergence"));
    }

    #[test]
    fn when_all_holds_one_line_is_enough() {
        assert_eq!(text(vec![result("convergence", None, None)], false), "Verified: 1 check, all hold.\n");
    }
}
