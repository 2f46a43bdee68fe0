//! What is taken and what is refused: by name, alone, one of two, with somebody's data.

use crate::stores::{NODES, ONE_CANDIDATE, PURPOSE, Stores, TWO_CANDIDATES};

/// Two free disks, and the inventory names none: hactl does not choose.
pub(crate) fn two_candidates_and_no_claim(stores: &mut Stores) {
    stores.want(TWO_CANDIDATES, "");
    let refused = stores.refused();
    for node in NODES {
        for disk in ["data", "extra"] {
            let line = format!("claims: {{ {node}: {{ NAME: {} }} }}", Stores::link(node, disk));
            refused.warns(&line);
        }
    }
    refused.warns("hactl does not choose");
    NODES.iter().for_each(|node| drop(stores.lab.on(node, "test ! -e /var/lib/hactl")));
    stores.lab.say("two candidates and no claim: refused, all named");
}

/// The inventory names the disk, by link and by world wide name: the smaller ones of two are taken.
pub(crate) fn explicit_claims(stores: &mut Stores) {
    let wwn = stores.on_disk("beta", "extra", "lsblk --nodeps --noheadings --output WWN $d");
    let claims = format!(
        "alpha: {{ data: {} }}, beta: {{ data: {{ wwn: \"{}\" }} }}",
        Stores::link("alpha", "extra"),
        wwn.trim()
    );
    stores.want(ONE_CANDIDATE, &claims);
    let untouched = ["alpha", "beta"].map(|node| stores.on_disk(node, "data", "sha256sum <$d"));
    stores.apply();
    for node in NODES {
        assert_eq!(stores.mounted(node), stores.device(node, "extra"), "the disk that was named on {node}");
        stores.lab.on(node, "echo kept >/srv/data/file && sync");
    }
    let other = ["alpha", "beta"].map(|node| stores.on_disk(node, "data", "sha256sum <$d"));
    assert_eq!(other, untouched, "the other disk");
    let list = stores.lab.hactl("claims", &["list", "--json"]);
    let list = list.expect(0).json();
    for (index, node) in NODES.iter().enumerate() {
        let of_node = &list["nodes"][index];
        assert_eq!(of_node["node"], **node);
        assert_eq!(of_node["claims"][0]["purpose"], PURPOSE, "{of_node}");
        assert_eq!(of_node["claims"][0]["cluster"], stores.lab.name(), "{of_node}");
    }
    stores.lab.say("explicit claims: exactly those are used");
}

/// What the last cluster left is somebody's data to the next one: refused, unless the inventory gives up exactly that.
pub(crate) fn a_disk_with_data(stores: &mut Stores) {
    stores.lab.hactl("destroy", &["--yes"]).expect(0).says("what is on it stays");
    let consent = |node: &str| {
        let uuid = stores.on_disk(node, "extra", "blkid -p -o value -s UUID $d");
        format!("ext4/{}", uuid.trim())
    };
    let held = NODES.map(consent);
    for (node, held) in NODES.iter().zip(&held) {
        stores.lab.on(node, "test ! -e /var/lib/hactl && ! mountpoint -q /srv/data");
        assert_ne!(held, "ext4/", "destroy wipes nothing");
    }

    stores.want(ONE_CANDIDATE, &Stores::claims("extra"));
    let refused = stores.refused();
    for held in &held {
        refused.warns(held).warns(&format!("wipe: \"{held}\""));
    }

    let claims = |wipes: [String; 2]| {
        let one = |(node, wipe): (&&str, &String)| {
            format!("{node}: {{ data: {{ path: {}, wipe: \"{wipe}\" }} }}", Stores::link(node, "extra"))
        };
        NODES.iter().zip(&wipes).map(one).collect::<Vec<_>>().join(", ")
    };
    let wrong = claims([held[0].clone(), held[0].clone()]);
    stores.want(ONE_CANDIDATE, &wrong);
    stores.refused().warns(&held[1]).warns("`wipe` names something else");

    stores.want(ONE_CANDIDATE, &claims(held.clone()));
    let plan = stores.lab.hactl("plan", &[]).expect(0);
    for held in &held {
        plan.says(held);
    }
    stores.apply();
    NODES.iter().for_each(|node| drop(stores.lab.on(node, "test ! -e /srv/data/file")));
    // The same words once more give up nothing: what is there now is our own.
    NODES.iter().for_each(|node| drop(stores.lab.on(node, "echo ours >/srv/data/file")));
    stores.apply();
    NODES.iter().for_each(|node| drop(stores.lab.on(node, "grep -q ours /srv/data/file")));
    stores.clear();
    stores.lab.say(
        "a claim on a disk with data: refused, named; with the right words it goes, with wrong ones not",
    );
}

/// One free disk: it is taken without a word in the inventory. It is mounted again after a boot.
pub(crate) fn one_candidate_and_no_claim(stores: &mut Stores) {
    stores.want(ONE_CANDIDATE, "");
    stores.apply();
    for node in NODES {
        assert_eq!(stores.mounted(node), stores.device(node, "data"), "the only candidate on {node}");
    }
    let enabled = "systemctl is-enabled srv-data.mount";
    NODES.iter().for_each(|node| assert_eq!(stores.lab.on(node, enabled).trim(), "enabled"));
    stores.lab.say("one candidate and no claim: taken");
}

/// A claim that is released is forgotten, and nothing else: the disk keeps what it holds, and holds it against hactl.
pub(crate) fn released(stores: &mut Stores) {
    stores.lab.on("beta", "echo precious >/srv/data/file && sync");
    stores.lab.hactl("claims", &["release", "beta", PURPOSE]).expect(3).warns("--yes");
    let released = stores.lab.hactl("claims", &["release", "beta", PURPOSE, "--yes"]).expect(0);
    released.says("forget").says(PURPOSE);
    assert_eq!(stores.lab.on("beta", "cat /srv/data/file").trim(), "precious");
    stores.lab.hactl("claims", &["release", "beta", PURPOSE, "--yes"]).expect(3).warns("nothing is claimed");
    stores.refused().warns("beta");
    assert_eq!(stores.lab.on("beta", "cat /srv/data/file").trim(), "precious");
    stores.clear();
    stores.lab.say("a released claim is forgotten, nothing is wiped");
}
