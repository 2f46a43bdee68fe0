//! SBD on a shared disk, as far as containers go: planned, not carried out (there is no watchdog in a container). The
//! two nodes' disks become one shared one by what udev tells of them.

use crate::stores::{NODES, Stores};

/// The world wide name of the shared disk.
const WWN: &str = "0x5000c5ffabcdef01";

pub(crate) fn on_a_shared_disk(stores: &mut Stores) {
    let different =
        NODES.map(|node| format!("{node}: {{ sbd: {} }}", Stores::link(node, "extra"))).join(", ");
    stores.want_sbd(&different);
    let refused = stores.refused();
    refused.warns("it must be the same disk on all nodes");
    for node in NODES {
        refused.warns(node);
    }

    for node in NODES {
        let edit = format!(
            "m=$(lsblk --nodeps --noheadings --output MAJ:MIN $d | tr -d ' '); \
             sed -i 's/^E:\\(ID_WWN[A-Z_]*\\)=.*/E:\\1={WWN}/' /run/udev/data/b$m"
        );
        stores.on_disk(node, "extra", &edit);
    }
    stores.want_sbd(&NODES.map(|node| format!("{node}: {{ sbd: {{ wwn: \"{WWN}\" }} }}")).join(", "));
    let plan = stores.lab.hactl("plan", &["--json", "--detailed-exitcode"]).expect(2).json();
    let steps = plan["steps"].as_array().expect("a list of steps");
    let does = |what: &str| steps.iter().filter(|step| step["action"]["do"] == what).collect::<Vec<_>>();
    assert_eq!(does("claim_device").len(), 2, "both nodes claim it");
    let [create] = does("create_sbd_header")[..] else { panic!("the header is written once: {plan}") };
    assert!(create["guard"]["device"]["identity"]["wwn"] == WWN, "{create}");
    let claims: Vec<_> = does("claim_device").iter().map(|step| step["id"].clone()).collect();
    let after = create["after"].as_array().expect("a list");
    assert!(claims.iter().all(|claim| after.contains(claim)), "after the claims of both: {create}");
    let config = |step: &&&serde_json::Value| step["action"]["path"] == "/etc/default/sbd";
    let configs = does("replace_file");
    let config = configs.iter().find(config).expect("SBD is configured");
    let content = config["action"]["content"].as_str().expect("a text");
    assert!(content.contains("SBD_DEVICE=\"/dev/disk/by-id/"), "{content}");

    // The same disk for a file system of a node's own is nobody's own.
    stores.want("16MiB", &NODES.map(|node| format!("{node}: {{ data: {{ wwn: \"{WWN}\" }} }}")).join(", "));
    let refused = stores.lab.hactl("plan", &[]).expect(5);
    refused.says("is the same device as the one for");
    stores.lab.say(
        "SBD on a shared disk: planned once for all nodes; different disks, and one disk for two, refused",
    );
}
