//! One cluster from bare nodes through everything that people do with it.

use crate::lab::TestLab;

pub(crate) fn the_life_of_a_cluster() {
    let mut lab = TestLab::up("life", &["--nodes", "3"]);
    lab.web("", "");
    lab.hactl("plan", &["--detailed-exitcode"]).expect(2);
}
