//! Whose is what, case by case, as an operator would see it.

use super::generate::{SCHEMA, everything};
use crate::cib::build::*;
use crate::cib::*;

/// What Pacemaker itself writes into a new cluster of two nodes.
pub(super) fn fresh_cluster() -> Cib {
    Cib::parse(include_str!("../../../tests/fixtures/cib/fresh-two-nodes.xml")).unwrap()
}

fn vip(ip: &str) -> Primitive {
    Primitive::new("vip", "ocf:heartbeat:IPaddr2".parse().unwrap()).param("ip", ip)
}

fn wanted(objects: impl IntoIterator<Item = (Section, Element)>) -> Cib {
    let mut cib = Cib::empty(SCHEMA);
    for (section, object) in objects {
        cib.put(section, object);
    }
    cib
}

fn compare(live: &Cib, desired: &Cib) -> CibDiff {
    diff(live, desired, &Ownership::default(), &nothing).unwrap()
}

fn apply(live: &Cib, desired: &Cib) -> Cib {
    let found = compare(live, desired);
    assert_eq!(found.conflicts, []);
    found.patch.map_or_else(|| live.clone(), |patch| patch.apply(live).unwrap())
}

fn with(live: &Cib, section: Section, object: Element) -> Cib {
    let mut cib = live.clone();
    cib.put(section, object);
    cib
}

fn shown(found: &CibDiff) -> Vec<String> {
    found.changes.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_missing_is_made_and_remembered() {
    let desired = wanted([(Section::Resources, vip("10.0.0.9").build())]);
    let found = compare(&fresh_cluster(), &desired);
    assert_eq!(
        shown(&found),
        [
            "+ primitive `vip`\n    + class: ocf\n    + instance_attributes.ip: 10.0.0.9\n    + provider: heartbeat\n    + type: IPaddr2"
        ]
    );
    assert_eq!(found.foreign, []);
    let made = apply(&fresh_cluster(), &desired);
    let tag = made.object(Section::Tags, OWNER_TAG).unwrap();
    assert_eq!(tag.elements().filter_map(Element::id).collect::<Vec<_>>(), ["vip"]);
    assert!(compare(&made, &desired).is_empty());
    assert_eq!(made.version(), CibVersion { admin_epoch: 0, epoch: 13, num_updates: 0 });
}

#[test]
fn what_somebody_changed_is_put_back_and_nothing_else() {
    let desired = wanted([(Section::Resources, vip("10.0.0.9").build())]);
    let made = apply(&fresh_cluster(), &desired);
    let changed = with(&made, Section::Resources, vip("10.0.0.8").meta("target-role", "Stopped").build());
    let found = compare(&changed, &desired);
    assert_eq!(
        shown(&found),
        [
            "~ primitive `vip`\n    ~ instance_attributes.ip: 10.0.0.8 -> 10.0.0.9\n    - meta_attributes.target-role: Stopped"
        ]
    );
    let patch = found.patch.unwrap();
    assert_eq!(
        patch.ops.iter().map(PatchOp::path).collect::<Vec<_>>(),
        [
            "/cib/configuration/resources/primitive[@id='vip']/meta_attributes[@id='vip-meta_attributes']",
            "/cib/configuration/resources/primitive[@id='vip']/instance_attributes[@id='vip-instance_attributes']/nvpair[@id='vip-instance_attributes-ip']",
        ]
    );
    assert_eq!(patch.apply(&changed).unwrap().section(Section::Resources), made.section(Section::Resources));
}

#[test]
fn what_is_not_wanted_any_more_goes_and_what_is_not_ours_stays() {
    let first = wanted([(Section::Resources, vip("10.0.0.9").build())]);
    let live = apply(&fresh_cluster(), &first);
    let theirs = Primitive::new("theirs", "ocf:pacemaker:Dummy".parse().unwrap()).build();
    let prefer = Location::node("cli-prefer-theirs", "theirs", "a", Score::INFINITY).build();
    let live = with(&with(&live, Section::Resources, theirs), Section::Constraints, prefer);
    let found = compare(&live, &Cib::empty(SCHEMA));
    assert_eq!(
        found.changes.iter().map(|change| (change.kind, change.object.id.as_str())).collect::<Vec<_>>(),
        [(ChangeKind::Remove, "vip")]
    );
    assert_eq!(
        found.foreign.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["primitive `theirs`", "rsc_location `cli-prefer-theirs`"]
    );
    let left = found.patch.unwrap().apply(&live).unwrap();
    assert!(left.section(Section::Tags).is_none(), "the tag and its section go with what they remembered");
    assert!(left.object(Section::Resources, "theirs").is_some());
}

#[test]
fn a_constraint_of_somebody_else_keeps_its_resource() {
    let live = apply(&fresh_cluster(), &wanted([(Section::Resources, vip("10.0.0.9").build())]));
    let prefer = Location::node("cli-prefer-vip", "vip", "a", Score::INFINITY).build();
    let live = with(&live, Section::Constraints, prefer);
    let found = compare(&live, &Cib::empty(SCHEMA));
    assert!(found.patch.is_none());
    assert_eq!(found.conflicts[0].object.to_string(), "rsc_location `cli-prefer-vip`");
    assert_eq!(found.conflicts[0].why.to_string(), "it refers to `vip`, which is to be removed");
    let adopting = Ownership { adopt: ["cli-prefer-vip".to_owned()].into(), ..Ownership::default() };
    let found = diff(&live, &Cib::empty(SCHEMA), &adopting, &nothing).unwrap();
    assert_eq!((found.conflicts.len(), found.changes.len()), (0, 2));
    // And one of ours must know what it speaks of.
    let lost = wanted([(Section::Constraints, Location::node("loc", "vop", "a", Score::new(1)).build())]);
    let found = compare(&fresh_cluster(), &lost);
    assert_eq!(found.conflicts[0].why.to_string(), "it refers to `vop`, which does not exist");
}

#[test]
fn what_is_there_already_is_adopted_if_it_is_the_same() {
    let live = with(&fresh_cluster(), Section::Resources, vip("10.0.0.9").build());
    let desired = wanted([(Section::Resources, vip("10.0.0.9").build())]);
    let found = compare(&live, &desired);
    assert_eq!(shown(&found), ["= primitive `vip`"]);
    assert!(compare(&apply(&live, &desired), &desired).is_empty());
}

#[test]
fn what_is_there_already_and_differs_is_in_the_way() {
    let live = with(&fresh_cluster(), Section::Resources, vip("10.0.0.7").build());
    let desired = wanted([(Section::Resources, vip("10.0.0.9").build())]);
    let found = compare(&live, &desired);
    assert!(found.patch.is_none() && !found.is_empty());
    assert_eq!(
        found.conflicts[0].why.to_string(),
        "it exists already, was not made by hactl and differs in: instance_attributes.ip"
    );
    let adopting = Ownership { adopt: ["vip".to_owned()].into(), ..Ownership::default() };
    let found = diff(&live, &desired, &adopting, &nothing).unwrap();
    assert_eq!(found.conflicts, []);
    assert!(compare(&found.patch.unwrap().apply(&live).unwrap(), &desired).is_empty());
}

#[test]
fn an_id_that_something_else_has_is_in_the_way() {
    let live =
        with(&fresh_cluster(), Section::Constraints, Location::node("vip", "x", "a", Score::new(1)).build());
    let found = compare(&live, &wanted([(Section::Resources, vip("10.0.0.9").build())]));
    assert_eq!(found.conflicts[0].why.to_string(), "its id `vip` is taken by rsc_location `vip`");
    // Also one deep inside.
    let group = Group::new("g").member(vip("10.0.0.1")).build();
    let found = compare(
        &with(&fresh_cluster(), Section::Resources, group),
        &wanted([(Section::Resources, vip("10.0.0.9").build())]),
    );
    assert!(found.conflicts.iter().all(|conflict| matches!(conflict.why, ConflictReason::IdTaken { .. })));
    assert!(!found.conflicts.is_empty() && found.patch.is_none());
}

#[test]
fn a_primitive_moves_into_a_group() {
    let alone = wanted([(Section::Resources, vip("10.0.0.9").build())]);
    let live = apply(&fresh_cluster(), &alone);
    let grouped = wanted([(Section::Resources, Group::new("g").member(vip("10.0.0.9")).build())]);
    let found = compare(&live, &grouped);
    assert_eq!(found.conflicts, []);
    let made = found.patch.unwrap().apply(&live).unwrap();
    assert!(compare(&made, &grouped).is_empty());
    assert!(made.object(Section::Resources, "vip").is_none());
}

#[test]
fn properties_are_owned_one_by_one() {
    let mut desired = Cib::empty(SCHEMA);
    desired.set_property("no-quorum-policy", "freeze");
    let mut live = fresh_cluster();
    live.set_property("maintenance-mode", "true");
    let found = compare(&live, &desired);
    assert_eq!(
        found.foreign.iter().map(|object| object.id.as_str()).collect::<Vec<_>>(),
        ["cib-bootstrap-options-maintenance-mode"]
    );
    let mut made = apply(&live, &desired);
    assert!(made.render().contains("dc-version"));
    made.set_property("no-quorum-policy", "ignore");
    assert_eq!(shown(&compare(&made, &desired)).len(), 1);
    let left = apply(&made, &Cib::empty(SCHEMA));
    assert!(!left.render().contains("no-quorum-policy") && left.render().contains("maintenance-mode"));
}

#[test]
fn a_property_under_another_id_is_respected_or_reported() {
    let mut live = fresh_cluster();
    live.set_property("no-quorum-policy", "freeze");
    let live = Cib::parse(&live.render().replace("cib-bootstrap-options-no-quorum-policy", "nqp")).unwrap();
    let mut desired = Cib::empty(SCHEMA);
    desired.set_property("no-quorum-policy", "freeze");
    assert!(compare(&live, &desired).is_empty());
    desired.set_property("no-quorum-policy", "stop");
    assert!(matches!(compare(&live, &desired).conflicts[0].why, ConflictReason::NameTaken { .. }));
}

#[test]
fn node_attributes_wait_for_their_node() {
    let mut desired = Cib::empty(SCHEMA);
    desired.set_node_attribute("1", "a", "site", "north");
    desired.set_node_attribute("3", "c", "site", "south");
    let found = compare(&fresh_cluster(), &desired);
    assert_eq!(found.deferred.iter().map(|object| object.id.as_str()).collect::<Vec<_>>(), ["nodes-3-site"]);
    let made = found.patch.unwrap().apply(&fresh_cluster()).unwrap();
    assert!(made.object(Section::Nodes, "3").is_none(), "a node that has not joined is not made up");
    // Somebody else's attribute in the same set survives ours.
    let mut live = made;
    live.set_node_attribute("1", "a", "standby", "on");
    let left = apply(&live, &Cib::empty(SCHEMA));
    assert!(left.render().contains("standby") && !left.render().contains("north"));
}

#[test]
fn the_order_of_members_counts_and_that_of_parameters_does_not() {
    let group = |members: [&str; 3]| {
        let dummy = |id: &str| Primitive::new(id, "ocf:pacemaker:Dummy".parse().unwrap());
        members.iter().fold(Group::new("g"), |group, id| group.member(dummy(id))).build()
    };
    let desired = wanted([(Section::Resources, group(["x", "y", "z"]))]);
    let live = apply(&fresh_cluster(), &desired);
    let moved = with(&live, Section::Resources, group(["z", "x", "y"]));
    let found = compare(&moved, &desired);
    assert_eq!(shown(&found), ["~ group `g`\n    ~ order: z x y -> x y z"]);
    let patch = found.patch.unwrap();
    assert_eq!(
        patch.ops,
        [PatchOp::Move {
            path: "/cib/configuration/resources/group[@id='g']/primitive[@id='z']".to_owned(),
            position: 2
        }]
    );
    let mut shuffled = vip("10.0.0.9").param("nic", "eth0").build();
    if let Some(params) = shuffled.child_mut("instance_attributes") {
        params.children.reverse();
    }
    let desired = wanted([(Section::Resources, vip("10.0.0.9").param("nic", "eth0").build())]);
    let live = with(&apply(&fresh_cluster(), &desired), Section::Resources, shuffled);
    assert!(compare(&live, &desired).is_empty());
}

#[test]
fn passwords_are_not_shown() {
    let live = apply(&fresh_cluster(), &everything());
    let changed = Cib::parse(&live.render().replace("hunter2", "hunter3")).unwrap();
    let found = compare(&changed, &everything());
    let text = format!("{:?}{}{found:?}", shown(&found), found.patch.clone().unwrap().masked());
    assert!(!text.contains("hunter"), "{text}");
    assert_eq!(
        found.changes[0].fields[0].to_string(),
        "~ instance_attributes.password: ******** -> ********"
    );
}

#[test]
fn mistakes_in_what_is_wanted_are_errors() {
    let try_with = |section, object| {
        diff(&fresh_cluster(), &wanted([(section, object)]), &Ownership::default(), &nothing)
    };
    let bad = |result: Result<CibDiff, DesiredError>| result.map(|_| ()).unwrap_err().to_string();
    for value in ["x\u{1}", "two\nlines", "tab\t"] {
        assert!(
            bad(try_with(Section::Resources, vip(value).build()))
                .contains("`ip` of `vip` holds a line break")
        );
    }
    assert!(bad(try_with(Section::Resources, vip("größe > 1").build())).contains("outside ASCII"));
    assert!(try_with(Section::Resources, vip("1 < größe").build()).is_ok());
    assert!(
        bad(try_with(Section::Resources, Primitive::new("1vip", "lsb:x".parse().unwrap()).build()))
            .contains("`1vip`")
    );
    assert!(bad(try_with(Section::Tags, tag("hactl", &["a"]))).contains("remembers what hactl made"));
    assert!(bad(try_with(Section::Resources, Element::new("primitive"))).contains("no id"));
    let twice = Group::new("g").member(vip("1")).member(vip("2")).build();
    assert!(bad(try_with(Section::Resources, twice)).contains("used twice"));
}

#[test]
fn text_forms_are_read() {
    assert_eq!("ocf:IPaddr2".parse::<Agent>().unwrap().to_string(), "ocf:heartbeat:IPaddr2");
    assert_eq!("systemd:getty@tty1".parse::<Agent>().unwrap().name, "getty@tty1");
    assert!("IPaddr2".parse::<Agent>().is_err() && "ocf::x".parse::<Agent>().is_err());
    assert_eq!("-inf".parse::<Score>().unwrap(), Score::NEG_INFINITY);
    assert_eq!("INFINITY".parse::<Score>().unwrap().to_string(), "INFINITY");
    assert_eq!("2000000".parse::<Score>().unwrap(), Score::INFINITY);
    assert!("many".parse::<Score>().is_err());
    assert!(Rule::parse("a eq 1 or b eq 2 and c eq 3").is_err() && Rule::parse("a like b").is_err());
    assert!(Rule::parse("").is_err());
}
