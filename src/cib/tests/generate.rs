//! Configurations: random ones, one with a bit of everything, and large ones.

use proptest::prelude::*;

use crate::cib::build::*;
use crate::cib::{Cib, Element, Node, Section};

pub(super) const SCHEMA: &str = "pacemaker-3.9";

fn agent(text: &str) -> Agent {
    text.parse().unwrap()
}

/// Values with everything that XML makes hard.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9]{1,8}",
        1 => Just("a <b> & \"c\" 'd'".to_owned()),
        1 => Just("größe ✓".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["ip", "cidr_netmask", "nic", "password", "device", "options"])
}

fn primitive(id: String) -> impl Strategy<Value = Primitive> {
    (
        prop::collection::vec((name(), value()), 0..4),
        prop::collection::vec(
            prop::sample::select(vec!["target-role", "resource-stickiness", "priority"]),
            0..3,
        ),
        prop::collection::vec(prop::sample::select(vec!["monitor", "start", "stop"]), 0..3),
        prop::bool::ANY,
    )
        .prop_map(move |(params, meta, ops, dummy)| {
            let agent = agent(if dummy { "ocf:pacemaker:Dummy" } else { "ocf:heartbeat:IPaddr2" });
            let mut primitive = Primitive::new(id.clone(), agent);
            for (name, value) in params {
                primitive = primitive.param(name, value);
            }
            for (index, name) in meta.into_iter().enumerate() {
                primitive = primitive.meta(name, index.to_string());
            }
            for (index, name) in ops.into_iter().enumerate() {
                primitive = primitive.op(Op::new(name, format!("{index}s")).timeout("20s"));
            }
            primitive
        })
}

fn resource(index: usize) -> impl Strategy<Value = Element> {
    let alone = primitive(format!("p{index}")).prop_map(|primitive| primitive.build());
    let member = |nth| primitive(format!("g{index}m{nth}"));
    let group =
        (Just(vec![0, 1, 2, 3]).prop_shuffle(), 1..=4_usize, member(0), member(1), member(2), member(3))
            .prop_map(move |(order, count, a, b, c, d)| {
                let members = [a, b, c, d];
                let group = order[..count]
                    .iter()
                    .fold(Group::new(format!("g{index}")), |group, nth| group.member(members[*nth].clone()));
                group.build()
            });
    let clone = primitive(format!("c{index}-inner")).prop_map(move |primitive| {
        CloneResource::of_primitive(format!("c{index}"), &primitive).promotable().build()
    });
    prop_oneof![3 => alone, 3 => group, 1 => clone]
}

fn constraint(index: usize) -> impl Strategy<Value = Element> {
    let id = format!("k{index}");
    let location = (-5..5_i32, "[ab]").prop_map({
        let id = id.clone();
        move |(score, node)| Location::node(id.clone(), "b0", &node, Score::new(score * 10)).build()
    });
    let rule =
        prop::sample::select(vec!["pingd gt 0", "not_defined pingd or pingd number:lte 0", "#uname eq a"])
            .prop_map({
                let id = id.clone();
                move |text| Location::rule(&id, "b0", &Rule::parse(text).unwrap()).build()
            });
    let sets = Just(vec!["b0", "b1", "b2"]).prop_shuffle().prop_map(move |members| {
        let sets = [ResourceSet::new(members[..2].to_vec()), ResourceSet::new(members[2..].to_vec())];
        Colocation::sets(&id, Score::INFINITY, &sets).build()
    });
    prop_oneof![location, rule, sets]
}

/// Objects in random order, some of them missing.
fn some<S: Strategy<Value = Element> + 'static>(
    count: usize,
    make: impl Fn(usize) -> S,
) -> BoxedStrategy<Vec<Element>> {
    let all: Vec<_> = (0..count).map(|index| prop::option::weighted(0.7, make(index))).collect();
    all.prop_map(|found| found.into_iter().flatten().collect::<Vec<_>>()).prop_shuffle().boxed()
}

/// A small configuration with a random part of a fixed population of ids, so that two of them have much in common.
/// What constraints refer to is always there: the schema insists.
pub(super) fn configuration() -> impl Strategy<Value = Cib> {
    let properties = prop::collection::btree_map(
        prop::sample::select(vec!["stonith-enabled", "no-quorum-policy", "maintenance-mode"]),
        "[a-z]{2,5}",
        0..3,
    );
    let comments = prop::collection::vec(0..3_usize, 0..2);
    (some(5, resource), some(3, constraint), properties, comments, 0..4_u64, 0..8_usize).prop_map(
        |(resources, constraints, properties, comments, updates, turn)| {
            let mut cib = Cib::empty(SCHEMA);
            for (name, value) in properties {
                cib.set_property(name, &value);
                cib.set_rsc_default(name, &value);
            }
            for index in 0..3 {
                let base = Primitive::new(format!("b{index}"), agent("ocf:pacemaker:Dummy"));
                cib.put(Section::Resources, base.build());
            }
            for resource in resources {
                cib.put(Section::Resources, resource);
            }
            let members = &mut cib.section_mut(Section::Resources).children;
            let by = turn.min(members.len());
            members.rotate_left(by);
            for constraint in constraints {
                cib.put(Section::Constraints, constraint);
            }
            let resources = cib.section_mut(Section::Resources);
            for place in comments {
                let place = place.min(resources.children.len());
                resources.children.insert(place, Node::Comment(format!(" remark {place} ")));
            }
            let mut root = cib.root().clone();
            root.set("crm_feature_set", "3.16.1");
            root.set("epoch", "7");
            root.set("num_updates", updates.to_string());
            Cib::from_element(root).unwrap()
        },
    )
}

/// One of everything that the constructors make.
pub(in crate::cib) fn everything() -> Cib {
    let mut cib = Cib::empty(SCHEMA);
    put_settings(&mut cib);
    put_resources(&mut cib);
    put_constraints(&mut cib);
    cib.put(Section::Tags, tag("frontend", &["vip", "web"]));
    cib.put(Section::Acls, acl_role("operator", &[("write", "//crm_config"), ("read", "/cib")]));
    cib.put(Section::Acls, acl_target("alice", &["operator"]));
    cib.put(Section::Acls, acl_group("ops", &["operator"]));
    let path = "/usr/share/pacemaker/alerts/alert_smtp.sh";
    cib.put(
        Section::Alerts,
        alert("mail", path, &[("email_sender", "a@b")], &[("timeout", "15s")], &["ops@b"]),
    );
    cib
}

fn put_settings(cib: &mut Cib) {
    cib.set_property("stonith-enabled", "true");
    cib.set_property("no-quorum-policy", "freeze");
    cib.set_rsc_default("resource-stickiness", "100");
    cib.set_op_default("timeout", "60s");
    let weekend = Rule {
        score: None,
        role: None,
        any: false,
        expressions: vec![Expression::DateSpec(vec![("weekdays".to_owned(), "6-7".to_owned())])],
    };
    cib.put_defaults(Section::RscDefaults, "weekend", &weekend, &[("resource-stickiness", "0")]);
    cib.set_node_attribute("1", "a", "site", "north");
    cib.set_node_utilization("1", "a", "memory", "4096");
}

fn put_resources(cib: &mut Cib) {
    for (node, address) in [("a", "192.0.2.1"), ("b", "192.0.2.2")] {
        let device = Primitive::new(format!("fence-{node}"), agent("stonith:fence_ipmilan"))
            .param("ip", address)
            .param("pcmk_host_list", node)
            .param("password", "hunter2")
            .op(Op::new("monitor", "60s").timeout("30s"));
        cib.put(Section::Resources, device.build());
        cib.put(Section::FencingTopology, fencing_level(node, 1, &[format!("fence-{node}")]));
        let avoid = format!("loc-fence-{node}");
        cib.put(
            Section::Constraints,
            Location::node(avoid, &format!("fence-{node}"), node, Score::NEG_INFINITY).build(),
        );
    }
    let template =
        Template::new("web-template", agent("systemd:nginx")).op(Op::new("monitor", "10s").timeout("20s"));
    cib.put(Section::Resources, template.build());
    let vip = Primitive::new("vip", agent("ocf:heartbeat:IPaddr2"))
        .param("ip", "10.0.0.100")
        .param("cidr_netmask", "24")
        .meta("migration-threshold", "3")
        .utilization("memory", "64")
        .description("the address that clients use")
        .op(Op::new("monitor", "10s").timeout("20s").on_fail("restart").param("OCF_CHECK_LEVEL", "10"));
    let web = Primitive::from_template("web", "web-template");
    cib.put(
        Section::Resources,
        Group::new("g-web").member(vip).member(web).meta("target-role", "Started").build(),
    );
    let ping = Primitive::new("ping", agent("ocf:pacemaker:ping"))
        .param("host_list", "10.0.0.1 10.0.0.2")
        .op(Op::new("monitor", "10s").timeout("60s"));
    cib.put(
        Section::Resources,
        CloneResource::of_primitive("ping-clone", &ping).meta("interleave", "true").build(),
    );
    let store = Primitive::new("store", agent("ocf:pacemaker:Stateful"))
        .op(Op::new("monitor", "10s").role("Promoted"))
        .op(Op::new("monitor", "11s").role("Unpromoted"));
    let store = CloneResource::of_primitive("store-clone", &store).promotable().meta("promoted-max", "1");
    cib.put(Section::Resources, store.build());
    let bundle = Bundle::new("cache", "podman", "registry.example.org/cache:1")
        .container("replicas", "2")
        .network("ip-range-start", "10.0.0.150")
        .port(6379)
        .mount("/srv/cache", "/data", Some("rw"))
        .primitive(Primitive::new("cache-server", agent("ocf:pacemaker:Dummy")));
    cib.put(Section::Resources, bundle.build());
}

fn put_constraints(cib: &mut Cib) {
    let connected =
        Rule::parse("not_defined pingd or pingd number:lte 0").unwrap().score(Score::NEG_INFINITY);
    for constraint in [
        Location::node("loc-web", "g-web", "a", Score::new(50)).build(),
        Location::rule("loc-connected", "g-web", &connected).build(),
        Location::pattern("loc-pattern", "fence-.*", "b", Score::new(1))
            .resource_discovery("exclusive")
            .build(),
        Colocation::new("col-web-store", "g-web", "store-clone", Score::INFINITY)
            .with_role("Promoted")
            .build(),
        Colocation::sets(
            "col-set",
            Score::new(10),
            &[ResourceSet::new(["cache", "g-web"]).attr("sequential", "false")],
        )
        .build(),
        Order::new("ord-store-web", "store-clone", "g-web", OrderKind::Mandatory)
            .first_action("promote")
            .then_action("start")
            .build(),
        Order::sets(
            "ord-set",
            OrderKind::Optional,
            &[ResourceSet::new(["ping-clone"]), ResourceSet::new(["g-web"])],
        )
        .symmetrical(false)
        .build(),
        Ticket::new("tck-web", "site", "g-web").attr("loss-policy", "stop").build(),
    ] {
        cib.put(Section::Constraints, constraint);
    }
}
