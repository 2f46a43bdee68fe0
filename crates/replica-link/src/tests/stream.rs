//! Messages arrive as they were sent, however the bytes are cut on the way.

use proptest::prelude::*;

use super::*;
use crate::RECORD_OVERHEAD_BYTES;

#[test]
fn the_largest_write_passes_and_costs_little_more_than_itself() {
    let message = write(3, vec![0xA5; 4 << 20]);
    let mut pair = pair(&key());
    let wire = sealed(&mut pair.dialler, std::slice::from_ref(&message));
    let records = (4 << 20) / 65_519 + 1;
    assert!(wire.len() <= (4 << 20) + 64 + records * RECORD_OVERHEAD_BYTES, "{} bytes", wire.len());
    assert_eq!(opened(&mut pair.acceptor, &wire), (vec![message], None));
}

#[test]
fn small_messages_share_a_record() {
    let mut pair = pair(&key());
    let messages: Vec<Message> = (0..1000).map(|id| Message::Written { id }).collect();
    let alone: usize = messages
        .iter()
        .map(|message| {
            let mut pair = super::pair(&Security::Unprotected);
            sealed(&mut pair.dialler, std::slice::from_ref(message)).len()
        })
        .take(1)
        .sum::<usize>()
        * messages.len();
    let wire = sealed(&mut pair.acceptor, &messages);
    assert_eq!(wire.len(), alone + RECORD_OVERHEAD_BYTES);
    assert_eq!(opened(&mut pair.dialler, &wire), (messages, None));
}

#[test]
fn asking_for_what_is_wanted_never_asks_for_nothing_nor_too_much() {
    for security in [key(), Security::Unprotected] {
        let mut pair = pair(&security);
        let message = write(1, vec![3; 200_000]);
        let mut wire = sealed(&mut pair.dialler, std::slice::from_ref(&message));
        let mut reads = 0;
        let arrived = loop {
            let wanted = pair.acceptor.opener.wanted();
            assert!(wanted > 0 && wanted <= wire.len(), "{wanted} of {} left", wire.len());
            let piece = wire.split_to(wanted);
            pair.acceptor.opener.buffer().extend_from_slice(&piece);
            reads += 1;
            if let Some(message) = pair.acceptor.opener.next_message().unwrap() {
                break message;
            }
        };
        assert_eq!(arrived, message);
        assert!(wire.is_empty() && reads <= 10, "{reads} reads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_the_bytes_are_cut_the_same_messages_arrive(
        protected in any::<bool>(),
        sizes in prop::collection::vec(0usize..100_000, 1..5),
        together in any::<bool>(),
        cuts in prop::collection::vec(1usize..5000, 1..40),
    ) {
        let security = if protected { key() } else { Security::Unprotected };
        let mut dials = dial(endpoint(0, security.clone()), 1);
        let mut accepts = accept(endpoint(1, security), 0);
        let sent: Vec<Message> = (0..).zip(&sizes).map(|(id, len)| write(id, vec![id as u8 ^ 0x77; *len])).collect();
        let mut cuts = cuts.into_iter().cycle();
        let mut to_acceptor = taken(&mut dials);
        let (mut dialler, mut acceptor): (Option<Link>, Option<Link>) = (None, None);
        let mut arrived = Vec::new();
        // The dialler sends as soon as it may; the acceptor gets it in pieces, the handshake too.
        for _ in 0..100_000 {
            if to_acceptor.is_empty() && dialler.is_some() {
                break;
            }
            let cut = cuts.next().unwrap_or(1).min(to_acceptor.len());
            let piece = to_acceptor.split_to(cut);
            match acceptor.as_mut() {
                None => acceptor = give(&mut accepts, &piece).unwrap(),
                Some(link) => link.opener.buffer().extend_from_slice(&piece),
            }
            while let Some(message) = acceptor.as_mut().and_then(|link| link.opener.next_message().unwrap()) {
                arrived.push(message);
            }
            let back = taken(&mut accepts);
            if dialler.is_none() {
                for byte in back {
                    dialler = dialler.or(give(&mut dials, &[byte]).unwrap());
                }
                if let Some(link) = dialler.as_mut() {
                    to_acceptor.extend_from_slice(&taken(&mut dials));
                    if together {
                        to_acceptor.extend_from_slice(&sealed(link, &sent));
                    } else {
                        for message in &sent {
                            to_acceptor.extend_from_slice(&sealed(link, std::slice::from_ref(message)));
                        }
                    }
                }
            }
        }
        prop_assert_eq!(arrived, sent);
    }
}
