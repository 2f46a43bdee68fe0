//! Somebody on the wire who records, repeats, reflects, reorders and changes what he likes, and knows no secret.

use proptest::prelude::*;

use super::*;

#[test]
fn a_recorded_dialler_never_gets_in() {
    let mut first = pair(&key());
    let mut recorded = first.from_dialler.clone();
    recorded.extend_from_slice(&sealed(&mut first.dialler, &[Message::Ping {}, write(1, vec![9; 100])]));
    let mut again = accept(endpoint(1, key()), 0);
    assert_eq!(give(&mut again, &recorded).err(), Some(LinkError::Authentication));
}

#[test]
fn a_recorded_acceptor_fools_no_dialler() {
    let recorded = pair(&key()).from_acceptor;
    let mut dials = dial(endpoint(0, key()), 1);
    assert_eq!(give(&mut dials, &recorded).err(), Some(LinkError::Authentication));
}

#[test]
fn the_first_word_alone_opens_nothing() {
    let mut dials = dial(endpoint(0, key()), 1);
    let mut accepts = accept(endpoint(1, key()), 0);
    assert!(give(&mut accepts, &taken(&mut dials)).unwrap().is_none());
    assert_eq!(taken(&mut accepts).len(), 48, "it is answered, and that is all");
    assert_eq!(give(&mut accepts, &[0; 34]).err(), Some(LinkError::Authentication));
}

#[test]
fn what_is_reflected_is_refused() {
    // The dialler's own words, as an answer.
    let mut dials = dial(endpoint(0, key()), 1);
    let words = taken(&mut dials);
    assert!(give(&mut dials, &words).is_err());
    // The dialler's own words, as if its peer dialled it: first as they are, then with the nodes exchanged.
    let mut own = accept(endpoint(0, key()), 1);
    assert_eq!(give(&mut own, &words).err(), Some(LinkError::WrongNode { from: node(0), to: node(1) }));
    let mut exchanged = words.to_vec();
    exchanged.swap(6, 7);
    let mut own = accept(endpoint(0, key()), 1);
    assert_eq!(give(&mut own, &exchanged).err(), Some(LinkError::Authentication));
    // And later, what an end has sealed, back to it.
    let mut pair = pair(&key());
    for end in [&mut pair.dialler, &mut pair.acceptor] {
        let wire = sealed(end, &[Message::Ping {}]);
        assert_eq!(opened(end, &wire), (vec![], Some(LinkError::Tampered)));
    }
}

#[test]
fn a_connection_counts_only_for_its_own_channel() {
    let mut dials = dial(endpoint(0, key()), 1);
    let mut words = taken(&mut dials);
    words[8] = 1;
    assert_eq!(give(&mut accept(endpoint(1, key()), 0), &words).err(), Some(LinkError::Authentication));
}

#[test]
fn records_do_not_open_twice_nor_out_of_order_nor_elsewhere() {
    let messages = [write(1, vec![1; 50]), write(2, vec![2; 50])];
    let records = |link: &mut Link| messages.clone().map(|message| sealed(link, &[message]));
    let mut pairs = [pair(&key()), pair(&key())];
    let [one, two] = records(&mut pairs[0].dialler);
    assert_eq!(opened(&mut pairs[1].acceptor, &one), (vec![], Some(LinkError::Tampered)), "another's");

    let mut repeated = pair(&key());
    let [one_again, two_again] = records(&mut repeated.dialler);
    assert_eq!(opened(&mut repeated.acceptor, &one_again), (vec![messages[0].clone()], None));
    assert_eq!(opened(&mut repeated.acceptor, &one_again), (vec![], Some(LinkError::Tampered)), "repeated");
    assert_eq!(
        opened(&mut repeated.acceptor, &two_again),
        (vec![], Some(LinkError::Tampered)),
        "after that nothing opens any more"
    );

    assert_eq!(opened(&mut pairs[0].acceptor, &two), (vec![], Some(LinkError::Tampered)), "one left out");
    assert_eq!(opened(&mut pairs[0].acceptor, &one), (vec![], Some(LinkError::Tampered)));
}

#[test]
fn nothing_of_what_is_said_is_on_the_wire_in_the_clear() {
    let marker: Vec<u8> = (0..64u8).map(|byte| byte ^ 0x5A).collect();
    let mut pair = pair(&key());
    let mut wire = pair.from_dialler.clone();
    wire.extend_from_slice(&pair.from_acceptor);
    for end in [&mut pair.dialler, &mut pair.acceptor] {
        let data = write(7, marker.iter().copied().cycle().take(100_000).collect());
        wire.extend_from_slice(&sealed(end, &[data, Message::Ping {}]));
    }
    let has = |wanted: &[u8]| wire.windows(wanted.len()).any(|window| window == wanted);
    for start in 0..marker.len() - 8 {
        assert!(!has(&marker[start..start + 8]), "data is in the clear");
    }
    assert!(!has(VOLUME.as_bytes()) && !has(b"correct horse") && !has(&SESSION.0));
    assert!(!has(b"haRP"), "a frame's head is in the clear");
    // The same test sees it where nothing is protected.
    let mut open = super::pair(&Security::Unprotected);
    let wire = sealed(&mut open.dialler, &[write(7, marker.clone())]);
    assert!(wire.windows(8).any(|window| window == &marker[..8]));
}

#[test]
fn any_bit_changed_in_a_handshake_ends_it() {
    let whole = pair(&key());
    let words = |from: usize, to: usize| (from * 8..to * 8).collect::<Vec<_>>();
    // What the dialler says first: every bit. The acceptor must refuse, or the dialler its answer.
    for bit in words(0, 64) {
        let mut dials = dial(endpoint(0, key()), 1);
        let mut accepts = accept(endpoint(1, key()), 0);
        let mut first = taken(&mut dials);
        first[bit / 8] ^= 1 << (bit % 8);
        let refused = give(&mut accepts, &first).is_err() || {
            let answer = taken(&mut accepts);
            give(&mut dials, &answer).is_err()
        };
        assert!(refused, "bit {bit} of the first word");
    }
    for bit in words(0, whole.from_acceptor.len()) {
        let mut dials = dial(endpoint(0, key()), 1);
        let mut accepts = accept(endpoint(1, key()), 0);
        assert!(give(&mut accepts, &taken(&mut dials)).unwrap().is_none());
        let mut answer = taken(&mut accepts);
        answer[bit / 8] ^= 1 << (bit % 8);
        assert!(give(&mut dials, &answer).is_err(), "bit {bit} of the answer");
    }
    for bit in words(0, 34) {
        let mut dials = dial(endpoint(0, key()), 1);
        let mut accepts = accept(endpoint(1, key()), 0);
        assert!(give(&mut accepts, &taken(&mut dials)).unwrap().is_none());
        let mut dialler = give(&mut dials, &taken(&mut accepts)).unwrap().unwrap();
        let mut proof = taken(&mut dials);
        proof[bit / 8] ^= 1 << (bit % 8);
        // A length that grew waits for more, which does not help either.
        proof.extend_from_slice(&sealed(&mut dialler, &[write(1, vec![0; 70_000])]));
        assert!(give(&mut accepts, &proof).is_err(), "bit {bit} of the proof");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bit_changed_later_ends_the_connection(
        sizes in prop::collection::vec(0usize..3000, 1..6),
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut pair = pair(&key());
        let sent: Vec<Message> = (0..).zip(&sizes).map(|(id, len)| write(id, vec![id as u8; *len])).collect();
        let mut wire = BytesMut::new();
        for message in &sent {
            wire.extend_from_slice(&sealed(&mut pair.dialler, std::slice::from_ref(message)));
        }
        let place = place.index(wire.len());
        wire[place] ^= 1 << bit;
        // A length that grew swallows what follows; there is always more to come.
        wire.extend_from_slice(&sealed(&mut pair.dialler, &[write(99, vec![7; 80_000])]));
        let (arrived, error) = opened(&mut pair.acceptor, &wire);
        prop_assert!(error.is_some());
        prop_assert!(arrived.len() < sent.len() && arrived[..] == sent[..arrived.len()]);
    }

    #[test]
    fn whatever_arrives_nothing_panics_and_nobody_gets_in(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        head in any::<bool>(),
    ) {
        for security in [key(), Security::Unprotected] {
            let mut dials = dial(endpoint(0, security.clone()), 1);
            let mut arriving = if head { taken(&mut dials)[..16].to_vec() } else { Vec::new() };
            arriving.extend_from_slice(&bytes);
            let accepted = give(&mut accept(endpoint(1, security.clone()), 0), &arriving);
            let dialled = give(&mut dials, &bytes);
            if matches!(security, Security::Key(_)) {
                prop_assert!(!matches!(accepted, Ok(Some(_))) && !matches!(dialled, Ok(Some(_))));
            }
        }
        let mut pair = pair(&key());
        let (arrived, _) = opened(&mut pair.acceptor, &bytes);
        prop_assert!(arrived.is_empty());
    }
}
