//! What is encoded is decoded again, and nothing that arrives makes the decoder panic or overrun a limit.

use proptest::prelude::*;

use super::*;
use crate::buffer::ALIGNMENT;
use crate::config::Protocol;
use crate::generation::{Generation, Generations};
use crate::ids::{BlockRange, NodeId};
use crate::state::{DiskState, Role};
use crate::wire::{Hello, PeerReport, Refusal, WireWrite, WriteBody};

fn node() -> impl Strategy<Value = NodeId> {
    (0u8..32).prop_map(|id| NodeId::new(id).unwrap())
}

fn generation() -> impl Strategy<Value = Generation> {
    any::<u64>().prop_map(Generation)
}

fn generations() -> impl Strategy<Value = Generations> {
    (
        generation(),
        prop::collection::btree_map(node(), generation(), 0..5),
        prop::collection::vec(generation(), 0..33),
    )
        .prop_map(|(current, bitmap, history)| Generations { current, bitmap, history })
}

fn data() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..600).prop_map(Bytes::from)
}

fn body() -> impl Strategy<Value = WriteBody> {
    prop_oneof![
        data().prop_map(WriteBody::Data),
        (any::<u64>(), any::<bool>()).prop_map(|(len, may_trim)| WriteBody::Zeroes { len, may_trim })
    ]
}

fn blocks() -> impl Strategy<Value = BlockRange> {
    (any::<u32>(), any::<u32>()).prop_map(|(start, len)| BlockRange {
        start: u64::from(start),
        end: u64::from(start) + u64::from(len),
    })
}

fn report() -> impl Strategy<Value = Box<PeerReport>> {
    (
        prop::sample::select(Role::ALL),
        prop::sample::select(DiskState::ALL),
        generations(),
        any::<[bool; 4]>(),
        any::<[u64; 3]>(),
    )
        .prop_map(|(role, disk, generations, flags, [dirty_blocks, primary_since, disk_instance])| {
            Box::new(PeerReport {
                role,
                disk,
                generations,
                crashed_primary: flags[0],
                dirty_blocks,
                full_sync: flags[1],
                discard_my_data: flags[2],
                primary_since,
                quorum: flags[3],
                disk_instance,
            })
        })
}

fn hello() -> impl Strategy<Value = Hello> {
    (
        node(),
        node(),
        any::<u64>(),
        prop::sample::select(&[Protocol::A, Protocol::B, Protocol::C][..]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(node, to, size, protocol, diskless, two_primaries)| Hello {
            node,
            to,
            size,
            protocol,
            diskless,
            two_primaries,
        })
}

fn refusal() -> impl Strategy<Value = Option<Refusal>> {
    prop::option::of(prop::sample::select(
        &[Refusal::PeerIsPrimary, Refusal::PromotionInProgress, Refusal::Outdated, Refusal::Handshake][..],
    ))
}

fn message() -> impl Strategy<Value = Message> {
    let ranges = || prop::collection::vec(blocks(), 0..20);
    prop_oneof![
        hello().prop_map(|hello| Message::Hello { hello }),
        report().prop_map(|report| Message::Generations { report }),
        report().prop_map(|report| Message::State { report }),
        prop::option::of(generation()).prop_map(|base| Message::SyncBegin { base }),
        (any::<u32>(), data(), any::<bool>()).prop_map(|(page, bits, last)| Message::BitmapPage {
            page,
            bits,
            last
        }),
        (any::<u64>(), any::<u64>(), body())
            .prop_map(|(id, offset, body)| Message::Write { write: WireWrite { id, offset, body } }),
        (any::<u64>(), prop::option::of(data())).prop_map(|(id, data)| Message::ReadDone { id, data }),
        (any::<u64>(), blocks(), prop::option::of(any::<u128>()))
            .prop_map(|(id, blocks, checksum)| Message::SyncRequest { id, blocks, checksum }),
        (any::<u64>(), body()).prop_map(|(id, body)| Message::SyncData { id, body }),
        ranges().prop_map(|ranges| Message::InSync { ranges }),
        ranges().prop_map(|ranges| Message::OutOfSync { ranges }),
        generations().prop_map(|generations| Message::SyncCommit { generations }),
        (any::<u64>(), refusal()).prop_map(|(id, refused)| Message::PromoteAnswer { id, refused }),
        (node(), generations()).prop_map(|(node, generations)| Message::Witness { node, generations }),
        any::<u64>().prop_map(|id| Message::Written { id }),
        any::<u64>().prop_map(|id| Message::WrittenInOrder { id }),
        generation().prop_map(|current| Message::NewGenerationRefused { current }),
        (any::<u64>(), generation(), prop::option::of(node()))
            .prop_map(|(id, current, beside)| Message::PromotePrepare { id, current, beside }),
        (any::<u64>(), prop::option::of(any::<u64>()))
            .prop_map(|(id, room)| Message::ResizeRoomAnswer { id, room }),
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(id, size, clean)| Message::ResizeCommit {
            id,
            size,
            clean
        }),
        any::<u64>().prop_map(|epoch| Message::BarrierDone { epoch }),
        any::<u64>().prop_map(|id| Message::PullAhead { id }),
        any::<u64>().prop_map(|id| Message::Behind { id }),
        any::<bool>().prop_map(|outdated| Message::Goodbye { outdated }),
        (any::<u64>(), prop::option::of(any::<u128>()))
            .prop_map(|(id, checksum)| Message::VerifyAnswer { id, checksum }),
        Just(Message::Ping {}),
        Just(Message::SyncFinished {}),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_the_bytes_arrive(
        messages in prop::collection::vec(message(), 1..6), cut in 1usize..200
    ) {
        let mut stream = BytesMut::new();
        for message in &messages {
            encode(message, &mut stream);
        }
        let mut frames = Frames::new();
        let mut got = Vec::new();
        for piece in stream.chunks(cut) {
            frames.buffer().extend_from_slice(piece);
            while let Some(message) = frames.next_message().unwrap() {
                got.push(message);
            }
        }
        prop_assert_eq!(got, messages);
        prop_assert_eq!(frames.wanted(), FRAME_HEADER_BYTES);
    }

    #[test]
    fn a_flipped_bit_is_always_noticed(message in message(), bit in any::<prop::sample::Index>()) {
        let mut stream = BytesMut::new();
        encode(&message, &mut stream);
        let bit = bit.index(stream.len() * 8);
        stream[bit / 8] ^= 1 << (bit % 8);
        let mut frames = Frames::new();
        frames.buffer().extend_from_slice(&stream);
        // A longer length waits for bytes that never come; everything else is an error.
        prop_assert!(!matches!(frames.next_message(), Ok(Some(_))));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut frames = Frames::new();
        frames.buffer().extend_from_slice(&bytes);
        let _ = frames.next_message();
    }

    #[test]
    fn garbage_in_a_valid_frame_never_panics(kind in any::<u8>(), fields in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut stream = BytesMut::new();
        stream.put_u32(MAGIC);
        stream.put_slice(&[WIRE_VERSION, kind, 0, 0]);
        stream.put_u32(fields.len() as u32);
        let crc = checksum(&stream, &fields);
        stream.put_u32(crc);
        stream.extend_from_slice(&fields);
        let mut frames = Frames::new();
        frames.buffer().extend_from_slice(&stream);
        if let Ok(Some(message)) = frames.next_message() {
            let mut again = BytesMut::new();
            encode(&message, &mut again);
            prop_assert_eq!(again.len(), stream.len());
        }
    }
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_anything_is_kept_for_it() {
    let mut frames = Frames::new();
    let mut stream = BytesMut::new();
    encode(&Message::Ping {}, &mut stream);
    stream[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    frames.buffer().extend_from_slice(&stream);
    assert!(matches!(frames.next_message(), Err(WireError::TooLong { .. })));
    assert!(frames.wanted() as u64 <= MAX_FIELDS_BYTES + FRAME_HEADER_BYTES as u64);
}

proptest! {
    /// Whatever is sent in two pieces is the same on the wire.
    #[test]
    fn data_that_is_not_copied_makes_the_same_frame(
        id in any::<u64>(),
        offset in any::<u64>(),
        len in prop::sample::select(vec![0, 1, 4096, DETACHED_BYTES - 1, DETACHED_BYTES, 100_000]),
        zero in any::<bool>(),
    ) {
        let bytes = Bytes::from((0..len).map(|at| (at % 251) as u8).collect::<Vec<u8>>());
        let body = if zero {
            WriteBody::Zeroes { len: len as u64, may_trim: true }
        } else {
            WriteBody::Data(bytes)
        };
        let write = WireWrite { id, offset, body: body.clone() };
        for message in [Message::Write { write }, Message::SyncData { id, body }, Message::Written { id }] {
            let [mut whole, mut parts] = [BytesMut::from("before"), BytesMut::from("before")];
            encode(&message, &mut whole);
            let data = encode_detached(&message, Integrity::Checksum, &mut parts);
            prop_assert_eq!(data.is_some(), !zero && len >= DETACHED_BYTES && message.name() != "Written");
            parts.extend_from_slice(&data.unwrap_or_default());
            prop_assert_eq!(whole, parts);
        }
    }

    /// However much data a message has and however it arrives, it is the same message; and a disk can have its data.
    #[test]
    fn data_arrives_in_aligned_memory_however_it_is_cut(
        lens in prop::collection::vec(
            prop::sample::select(vec![0, 512, ALIGNED_BYTES - 512, ALIGNED_BYTES, 5000, DETACHED_BYTES, 100_000]), 1..5
        ),
        authenticated in any::<bool>(),
        cuts in prop::collection::vec((1usize..30_000, any::<bool>()), 1..20),
    ) {
        let (integrity, mut frames) = match authenticated {
            true => (Integrity::Authenticated, Frames::authenticated()),
            false => (Integrity::Checksum, Frames::new()),
        };
        let mut stream = BytesMut::new();
        let mut sent = Vec::new();
        for (id, len) in (0u64..).zip(lens) {
            let body = WriteBody::Data(Bytes::from((0..len).map(|at| (at % 249) as u8 ^ id as u8).collect::<Vec<u8>>()));
            for message in [
                Message::Write { write: WireWrite { id, offset: id << 20, body: body.clone() } },
                Message::SyncData { id, body },
                Message::Barrier { epoch: id },
            ] {
                let data = encode_detached(&message, integrity, &mut stream);
                stream.extend_from_slice(&data.unwrap_or_default());
                sent.push(message);
            }
        }
        let mut got = Vec::new();
        let mut cuts = cuts.into_iter().cycle();
        while !stream.is_empty() {
            let (cut, directly) = cuts.next().unwrap();
            let mut piece = stream.split_to(cut.min(stream.len()));
            match frames.room().filter(|_| directly) {
                Some(room) => {
                    let taken = room.len().min(piece.len());
                    room[..taken].copy_from_slice(&piece.split_to(taken));
                    frames.filled(taken);
                    frames.feed(&piece);
                }
                None => frames.feed(&piece),
            }
            while let Some(message) = frames.next_message().unwrap() {
                if let Message::Write { write: WireWrite { body: WriteBody::Data(data), .. } }
                | Message::SyncData { body: WriteBody::Data(data), .. } = &message
                {
                    prop_assert!(data.len() < ALIGNED_BYTES || data.as_ptr().addr().is_multiple_of(ALIGNMENT));
                }
                got.push(message);
            }
        }
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn a_flipped_bit_in_much_data_is_always_noticed(bit in any::<prop::sample::Index>()) {
        let body = WriteBody::Data(Bytes::from(vec![0x5A; 8192]));
        let mut stream = BytesMut::new();
        encode(&Message::SyncData { id: 7, body }, &mut stream);
        let bit = bit.index(stream.len() * 8);
        stream[bit / 8] ^= 1 << (bit % 8);
        let mut frames = Frames::new();
        frames.feed(&stream);
        prop_assert!(!matches!(frames.next_message(), Ok(Some(_))));
    }
}
