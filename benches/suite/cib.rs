//! The difference of two CIBs of a mebibyte, against `crm_diff`.
//!
//! Both read the two documents from files and print a patch. `crm_diff` runs on a node of the lab, which is the same
//! machine; what is timed there is the program alone, without ssh. hactl's side is the library, in this process, so
//! that starting a process is not counted for it: that is told beside the figure.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use camino::Utf8Path;
use hactl::cib::{Cib, Guard, patch_between};

use crate::figure::{Figure, Goal};
use crate::lab::Lab;
use crate::measure::{Side, alternate};
use crate::remote;

/// Rounds of the comparison.
const ROUNDS: usize = 11;
/// How large the documents are, in bytes, at least.
const SIZE_BYTES: usize = 1024 * 1024;
/// Every so manieth primitive differs between the two.
const CHANGED_EVERY: usize = 20;
/// Where the two are on the node.
const FOLDER: &str = "/run/hactl-bench-cib";

/// Measures.
///
/// # Errors
/// One of the two does not find the difference.
pub(crate) fn measure(lab: &Lab, folder: &Utf8Path) -> Result<Vec<Figure>> {
    let (old, new) = documents();
    let files = [folder.join("old.xml"), folder.join("new.xml")];
    std::fs::write(&files[0], &old)?;
    std::fs::write(&files[1], &new)?;
    let node = lab.first()?;
    let address = lab.address(&node)?;
    lab.on(&node, &format!("mkdir -p {FOLDER}"))?;
    remote::put(&lab.way, &address, &format!("{FOLDER}/old.xml"), old.as_bytes())?;
    remote::put(&lab.way, &address, &format!("{FOLDER}/new.xml"), new.as_bytes())?;
    let ours = || -> Result<Duration> {
        let began = Instant::now();
        let parse = |file: &Utf8Path| -> Result<Cib> {
            Cib::parse(&std::fs::read_to_string(file)?).map_err(|error| anyhow!("{error}"))
        };
        let patch = patch_between(&parse(&files[0])?, &parse(&files[1])?, &|_| None)
            .context("the two do not differ")?;
        let request = patch.request(Guard::Epoch, &|_| None).map_err(|error| anyhow!("{error}"))?;
        let took = began.elapsed();
        ensure!(request.contains("<change "), "no difference was found");
        Ok(took)
    };
    let theirs = || -> Result<Duration> {
        // crm_diff ends with 1 when there is a difference.
        let script = format!(
            "bash -c 'cd {FOLDER}; a=$EPOCHREALTIME; crm_diff -o old.xml -n new.xml >patch; s=$?; b=$EPOCHREALTIME; \
             [ $s = 1 ] && grep -q \"<change \" patch && echo $a $b'"
        );
        let times = lab.on(&node, &script)?;
        let (began, ended) = times.trim().split_once(' ').context("two times were expected")?;
        Ok(Duration::from_secs_f64(ended.parse::<f64>()? - began.parse::<f64>()?))
    };
    let mut sides: [Side<'_>; 2] = [Box::new(ours), Box::new(theirs)];
    let samples = alternate(ROUNDS, &mut sides)?;
    lab.on(&node, &format!("rm -r {FOLDER}"))?;
    Ok(vec![Figure::new(
        "difference of two CIBs of 1 MiB",
        "crm_diff",
        Goal::AtMost(1.0),
        samples[0].median() / samples[1].median(),
        "x",
        format!("hactl {}, crm_diff {}", samples[0], samples[1]),
    )])
}

/// Two CIBs that differ in the parameters of some primitives.
fn documents() -> (String, String) {
    let mut old = String::new();
    let mut new = String::new();
    let mut number = 0;
    while old.len() < SIZE_BYTES {
        let primitive = |interval: u32| {
            format!(
                "<primitive id=\"p{number}\" class=\"ocf\" provider=\"pacemaker\" type=\"Dummy\">\
                 <instance_attributes id=\"p{number}-params\"><nvpair id=\"p{number}-state\" name=\"state\" value=\"/run/p{number}\"/>\
                 <nvpair id=\"p{number}-fake\" name=\"fake\" value=\"{interval}\"/></instance_attributes><operations>\
                 <op id=\"p{number}-monitor\" name=\"monitor\" interval=\"{interval}s\" timeout=\"20s\"/></operations></primitive>\n"
            )
        };
        old.push_str(&primitive(10));
        new.push_str(&primitive(if number % CHANGED_EVERY == 0 { 11 } else { 10 }));
        number += 1;
    }
    let whole = |epoch: u32, resources: &str| {
        format!(
            "<cib validate-with=\"pacemaker-3.9\" admin_epoch=\"0\" epoch=\"{epoch}\" num_updates=\"0\" crm_feature_set=\"3.16.2\">\
             <configuration><crm_config/><nodes/><resources>{resources}</resources><constraints/></configuration><status/></cib>\n"
        )
    };
    (whole(1, &old), whole(2, &new))
}
