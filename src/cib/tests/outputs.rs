//! What Pacemaker's tools printed, and what is read from it.

use proptest::prelude::*;

use crate::cib::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/cib/", $name))
    };
}

#[test]
fn a_healthy_cluster_has_no_problems() {
    let status = parse_crm_mon(fixture!("crm_mon-healthy.xml")).unwrap();
    assert_eq!(
        (status.dc.as_deref(), status.quorate, status.stonith_enabled),
        (Some("alpha"), Some(true), true)
    );
    assert_eq!(status.nodes.len(), 3);
    assert!(status.nodes.iter().all(|node| node.online && !node.unclean && node.kind == "member"));
    assert_eq!(status.problems(), [] as [String; 0]);
    assert!(!status.is_busy());
    assert_eq!(status.running_on("g-web"), ["alpha"].into());
    assert_eq!(status.running_on("vip"), ["alpha"].into());
    assert_eq!(status.running_on("store-clone"), ["alpha", "beta", "gamma"].into());
    let promoted: Vec<_> =
        status.instances("store").filter(|rsc| rsc.is_promoted()).map(|rsc| &rsc.nodes).collect();
    assert_eq!(promoted, [&["alpha".to_owned()]]);
    assert_eq!(status.instances("vip").next().unwrap().parents, ["g-web"]);
    assert_eq!(status.attributes["alpha"]["master-store"], "10");
    assert_eq!(status.bans, [("cli-ban-spare-on-gamma".to_owned(), "spare".to_owned(), "gamma".to_owned())]);
}

#[test]
fn trouble_is_named() {
    let status = parse_crm_mon(fixture!("crm_mon-trouble.xml")).unwrap();
    assert_eq!(
        status.problems(),
        ["the partition has no quorum", "node alpha is unclean: it waits to be fenced"]
    );
    assert!(status.node("gamma").unwrap().standby);
    let failed = parse_crm_mon(fixture!("crm_mon-failed.xml")).unwrap();
    assert_eq!(failed.problems(), ["vip_monitor_10000 on alpha failed: error"]);
    assert_eq!((failed.failures[0].exit_code, failed.failures[0].status.as_str()), (Some(1), "complete"));
    assert_eq!(failed.fence_history.len(), 3);
    assert_eq!(failed.fence_history[0].delegate.as_deref(), Some("gamma"));
    assert_eq!(failed.fence_history[1].exit_reason.as_deref(), Some("connection refused"));
    assert!(failed.is_busy(), "a fencing is under way");
}

#[test]
fn a_cluster_that_does_not_run_is_an_error_of_its_own() {
    let error = parse_crm_mon(fixture!("crm_mon-not-running.xml")).unwrap_err();
    assert!(matches!(error, OutputError::Failed { code: EXIT_NOT_RUNNING, .. }));
    assert!(error.to_string().contains("Connection refused"));
    assert!(matches!(parse_crm_mon("").unwrap_err(), OutputError::Malformed { .. }));
    assert!(matches!(parse_crm_mon("<html/>").unwrap_err(), OutputError::Malformed { .. }));
}

fn said(text: &str) -> Vec<String> {
    parse_crm_simulate(text).unwrap().actions.iter().map(ToString::to_string).collect()
}

#[test]
fn what_pacemaker_would_do_is_read() {
    assert_eq!(said(fixture!("crm_simulate-nothing.xml")), [] as [String; 0]);
    assert_eq!(
        said(fixture!("crm_simulate-start.xml")),
        [
            "start fence-lab on alpha",
            "start vip on alpha",
            "start web on alpha",
            "promote store:0 on alpha (Stopped -> Promoted)",
            "start store:1 on beta",
            "start store:2 on gamma",
        ]
    );
    assert_eq!(
        said(fixture!("crm_simulate-node-fail.xml")),
        [
            "Fence (reboot) alpha: peer is no longer part of the cluster",
            "move fence-lab from alpha to beta",
            "move vip from alpha to beta",
            "move web from alpha to beta",
            "stop store:0 on alpha: node availability",
            "promote store:1 on beta (Unpromoted -> Promoted)",
        ]
    );
    assert_eq!(
        said(fixture!("crm_simulate-recover.xml")),
        ["recover vip on alpha", "restart web on alpha: required vip start",]
    );
    let moved = parse_crm_simulate(fixture!("crm_simulate-move.xml")).unwrap();
    let disrupted: Vec<_> = moved.disruptive().map(|action| action.subject.as_str()).collect();
    assert_eq!(disrupted, ["vip", "web", "store:0"]);
    let after = moved.after.unwrap();
    assert_eq!(after.running_on("g-web"), ["beta"].into());
    assert!(matches!(
        parse_crm_simulate("<pacemaker-result><status code=\"70\"/></pacemaker-result>"),
        Err(OutputError::Failed { code: 70, .. })
    ));
}

#[test]
fn pacemaker_3_says_the_same() {
    let (old, new) = (fixture!("crm_mon-failed.xml"), fixture!("crm_mon-failed-3.0.xml"));
    let (old, new) = (parse_crm_mon(old).unwrap(), parse_crm_mon(new).unwrap());
    assert_eq!((&old.nodes, &old.resources, &old.attributes), (&new.nodes, &new.resources, &new.attributes));
    assert_eq!(new.problems(), ["vip_monitor_10000 on alpha failed: Error occurred"]);
    assert_eq!(said(fixture!("crm_simulate-move.xml")), said(fixture!("crm_simulate-move-3.0.xml")));
}

#[test]
fn what_a_newer_or_older_version_leaves_out_is_no() {
    let text = r#"<crm_mon version="2.0.0"><summary><current_dc present="true" name="a"/></summary>
        <nodes><node name="a" id="1" online="true" future="yes"/></nodes>
        <resources><novelty id="n"><resource id="r" role="Master" active="true"/></novelty></resources></crm_mon>"#;
    let status = parse_crm_mon(text).unwrap();
    assert_eq!(status.dc.as_deref(), Some("a"));
    assert!(status.resources[0].is_promoted() && status.resources[0].managed);
}

proptest! {
    #[test]
    fn any_output_is_read_or_refused(text in "[<>a-z_/=\" ]{0,120}") {
        let _ = (parse_crm_mon(&text), parse_crm_simulate(&text));
    }
}
