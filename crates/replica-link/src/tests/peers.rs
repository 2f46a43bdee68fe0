//! Who gets in, and who does not.

use super::*;

#[test]
fn both_ends_know_one_another_and_what_the_connection_is_for() {
    for security in [key(), Security::Unprotected] {
        for channel in [Channel::Data, Channel::Control] {
            let dials = Handshake::dial(endpoint(0, security.clone()), node(1), channel, SESSION).unwrap();
            let pair = connect(dials, accept(endpoint(1, security.clone()), 0)).unwrap();
            assert_eq!((pair.dialler.peer, pair.acceptor.peer), (node(1), node(0)));
            assert_eq!((pair.dialler.channel, pair.acceptor.channel), (channel, channel));
            assert_eq!((pair.dialler.session, pair.acceptor.session), (SESSION, SESSION));
        }
    }
}

#[test]
fn a_wrong_secret_is_refused_on_either_side() {
    let wrong = Security::Key(LinkKey::derive(b"correct horse batterz", VOLUME).unwrap());
    for (dials, accepts) in [(wrong.clone(), key()), (key(), wrong)] {
        let refused = connect(dial(endpoint(0, dials), 1), accept(endpoint(1, accepts), 0)).err();
        assert_eq!(refused, Some(LinkError::Authentication));
    }
}

#[test]
fn the_secret_of_one_volume_opens_no_other() {
    let named = |volume: &str| Security::Key(LinkKey::derive(b"correct horse battery", volume).unwrap());
    let refused = connect(dial(endpoint(0, named("one")), 1), accept(endpoint(1, named("two")), 0)).err();
    assert_eq!(refused, Some(LinkError::Authentication), "the keys differ");
    let elsewhere = Endpoint { volume: "two".to_owned(), ..endpoint(1, key()) };
    let refused = connect(dial(endpoint(0, key()), 1), accept(elsewhere, 0)).err();
    assert_eq!(refused, Some(LinkError::Authentication), "with one key, the name still counts");
}

#[test]
fn a_stranger_and_a_misdirected_dialler_are_refused_by_name() {
    let stranger = connect(dial(endpoint(7, key()), 1), accept(endpoint(1, key()), 0)).err();
    assert_eq!(stranger, Some(LinkError::UnknownPeer(node(7))));
    let astray = connect(dial(endpoint(0, key()), 2), accept(endpoint(1, key()), 0)).err();
    assert_eq!(astray, Some(LinkError::WrongNode { from: node(0), to: node(2) }));
}

#[test]
fn protection_cannot_be_talked_away() {
    for (dials, accepts) in [(key(), Security::Unprotected), (Security::Unprotected, key())] {
        let refused = connect(dial(endpoint(0, dials), 1), accept(endpoint(1, accepts), 0)).err();
        assert_eq!(refused, Some(LinkError::SecurityDiffers));
    }
    // The dialler's word changed on the way to "unprotected", and back: the acceptor that answers so gets nowhere.
    let mut dials = dial(endpoint(0, key()), 1);
    let mut in_the_middle = dial(endpoint(1, Security::Unprotected), 0);
    let answer = taken(&mut in_the_middle);
    taken(&mut dials);
    let mut answer = answer.to_vec();
    answer.resize(48, 0);
    assert_eq!(give(&mut dials, &answer).err(), Some(LinkError::Authentication));
}

#[test]
fn a_secret_has_bounds_and_is_not_shown() {
    use crate::{KeyError, MAX_SECRET_BYTES, MIN_SECRET_BYTES};
    for len in [0, MIN_SECRET_BYTES - 1, MAX_SECRET_BYTES + 1] {
        assert_eq!(LinkKey::derive(&vec![b'x'; len], VOLUME).err(), Some(KeyError::SecretLength(len)));
    }
    assert_eq!(LinkKey::derive(b"long enough", "").err(), Some(KeyError::VolumeLength(0)));
    let shown = format!("{:?}", endpoint(0, key()));
    assert!(shown.contains("LinkKey(..)"), "{shown}");
}
