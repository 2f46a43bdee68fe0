//! Replies; and that it does not matter how a client's bytes are cut into pieces, nor what they are.

use super::*;

fn read(length: u32, unfragmented: bool) -> Request {
    Request { cookie: 9, command: Command::Read { offset: 4096, length, unfragmented } }
}

#[test]
fn reads_travel_in_parts_only_where_that_was_agreed_on() {
    let parts = [Part::Data(b"ab"), Part::Hole(4), Part::Data(b""), Part::Data(b"c"), Part::Hole(0)];
    let mut out = Vec::new();
    Replies::new(false).read(&read(7, false), &parts, &mut out).unwrap();
    assert_eq!(out[16..], *b"ab\0\0\0\0c");

    let mut out = Vec::new();
    Replies::new(true).read(&read(7, true), &parts, &mut out).unwrap();
    let whole = [&4096_u64.to_be_bytes()[..], b"ab\0\0\0\0c"].concat();
    let one = Chunk { flags: 1, kind: chunk::OFFSET_DATA, cookie: 9, data: whole };
    assert_eq!(chunks(&out), [one]);

    let mut out = Vec::new();
    Replies::new(true).read(&read(7, false), &parts, &mut out).unwrap();
    let pieces = [
        (0, chunk::OFFSET_DATA, 4096_u64, &b"ab"[..]),
        (0, chunk::OFFSET_HOLE, 4098, &[0, 0, 0, 4]),
        (1, chunk::OFFSET_DATA, 4102, b"c"),
    ];
    let pieces = pieces.map(|(flags, kind, offset, data)| Chunk {
        flags,
        kind,
        cookie: 9,
        data: [&offset.to_be_bytes()[..], data].concat(),
    });
    assert_eq!(chunks(&out), pieces);

    let mut out = Vec::new();
    let wrong = Replies::new(true).read(&read(8, false), &parts, &mut out);
    assert_eq!(wrong, Err(ReplyError::Length { wanted: 8, got: 7 }));
    let flush = Request { cookie: 1, command: Command::Flush };
    assert_eq!(Replies::new(true).read(&flush, &parts, &mut out), Err(ReplyError::Kind));
    assert!(out.is_empty());
}

#[test]
fn extents_are_merged_cut_and_bounded() {
    let status = |length, one, extents: &[Extent]| {
        let command = Command::BlockStatus { offset: 0, length, one };
        let mut out = Vec::new();
        Replies::new(true).block_status(&Request { cookie: 1, command }, extents, &mut out).unwrap();
        let [Chunk { flags: 1, kind: chunk::BLOCK_STATUS, data, .. }] = &chunks(&out)[..] else { panic!() };
        let mut fields = Fields(data);
        assert_eq!(fields.u32(), Some(meta::ALLOCATION_ID));
        std::iter::from_fn(|| Some((fields.u32()?, fields.u32()?))).collect::<Vec<_>>()
    };
    let data = |length| Extent { length, hole: false, zero: false };
    let hole = |length| Extent { length, hole: true, zero: true };
    assert_eq!(status(100, false, &[data(10), data(0), data(10), hole(1 << 40)]), [(20, 0), (80, 3)]);
    assert_eq!(status(100, true, &[hole(0), hole(10), hole(10), data(10)]), [(20, 3)]);
    assert_eq!(status(100, false, &[]), [(100, 0)]);
    let many: Vec<Extent> = (0..5000).map(|n| if n % 2 == 0 { data(1) } else { hole(1) }).collect();
    assert_eq!(status(100_000, false, &many).len(), MAX_EXTENTS);
}

#[test]
fn errors_carry_their_text_only_where_the_client_can_read_it() {
    let mut out = Vec::new();
    Replies::new(false).fail(&read(1, false), Errno::Io, "the disk is gone", &mut out);
    assert_eq!(out[4..8], [0, 0, 0, 5]);
    assert_eq!(out.len(), 16);
    let mut out = Vec::new();
    Replies::new(true).fail(&read(1, false), Errno::Io, &"ä".repeat(MAX_MESSAGE_BYTES), &mut out);
    let data = &chunks(&out)[0].data;
    assert_eq!(std::str::from_utf8(&data[6..]).unwrap().len(), MAX_MESSAGE_BYTES);
    assert_eq!(Errno::from_os(122), Errno::NoSpc);
    assert_eq!(Errno::from_os(30), Errno::Perm);
    assert_eq!(Errno::from_os(110), Errno::Io);
}

#[test]
fn block_sizes_and_names_are_checked_when_they_are_made() {
    assert_eq!(BlockSizes::new(3, 4096, 1 << 20), Err(ExportError::Minimum(3)));
    assert_eq!(BlockSizes::new(1 << 17, 1 << 17, 1 << 20), Err(ExportError::Minimum(1 << 17)));
    assert_eq!(BlockSizes::new(4096, 512, 1 << 20), Err(ExportError::Preferred(512)));
    assert_eq!(BlockSizes::new(512, 4096, 1 << 26), Err(ExportError::Maximum(1 << 26)));
    assert_eq!(BlockSizes::new(512, 4096, (1 << 20) + 1), Err(ExportError::Maximum((1 << 20) + 1)));
    let one = || Export::new(512, BlockSizes::default(), ALL).unwrap();
    let twice = Exports::new([("a".to_owned(), one()), ("a".to_owned(), one())]);
    assert_eq!(twice.unwrap_err(), ExportError::Twice("a".to_owned()));
    assert_eq!(Exports::new([("a\0".to_owned(), one())]).unwrap_err(), ExportError::Name(2));
    let many = (0..=MAX_EXPORTS).map(|n| (n.to_string(), one()));
    assert_eq!(Exports::new(many).unwrap_err(), ExportError::TooMany(MAX_EXPORTS + 1));
    assert_eq!(Export::new(1 << 63, BlockSizes::default(), ALL), Err(ExportError::TooLarge(1 << 63)));
}

/// A piece of a conversation: mostly well formed.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let option = (0..12_u32, prop::collection::vec(any::<u8>(), 0..64), any::<bool>());
    let option = option.prop_map(|(kind, noise, sane)| {
        let data = match kind {
            _ if !sane => noise,
            opt::INFO => go_data("r0", &[info::NAME]),
            opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT => meta_data("r0", &["base:allocation"]),
            _ => Vec::new(),
        };
        // Nothing that ends the handshake early.
        let ends = matches!(kind, opt::EXPORT_NAME | opt::ABORT | opt::GO);
        Client::default().option(if ends { opt::LIST } else { kind }, &data).0
    });
    option.boxed()
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let offset = prop_oneof![(0..20_u64).prop_map(|n| n * 512), Just(SIZE - 512), any::<u64>()];
    let length = prop_oneof![(0..10_u32).prop_map(|n| n * 512), Just(SIZE as u32), 0..3000_u32];
    let flags = prop_oneof![4 => Just(0_u16), 1 => 0..32_u16];
    (flags, prop_oneof![0..2_u16, 3..9_u16], any::<u64>(), offset, length).prop_map(
        |(flags, command, cookie, offset, length)| {
            let length = if command == cmd::WRITE { length % 5000 } else { length };
            let client = Client::default().request(flags, command, cookie, offset, length);
            if command == cmd::WRITE { client.data(length as usize).0 } else { client.0 }
        },
    )
}

fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let (options, requests) =
        (prop::collection::vec(message(), 0..8), prop::collection::vec(request(), 0..16));
    (options, requests, any::<bool>()).prop_map(|(options, requests, leaves)| {
        let mut all = Client::new().0;
        all.extend(options.concat());
        all.extend(Client::default().go("r0").0);
        all.extend(requests.concat());
        if leaves {
            all.extend(Client::default().request(0, cmd::DISC, 0, 0, 0).0);
        }
        all
    })
}

fn fed_in_pieces(input: &[u8], cuts: &[usize]) -> Run {
    let mut run = Run::new(ALL, TlsPolicy::Offered);
    let mut rest = input;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() || matches!(run.seen.last(), Some(Seen::Dropped(_))) {
            break;
        }
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        run.feed(piece);
        rest = after;
    }
    run
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_events_and_replies(
        input in conversation(),
        cuts in prop::collection::vec(1..700_usize, 1..20),
    ) {
        let whole = fed_in_pieces(&input, &[usize::MAX]);
        prop_assert!(whole.seen.iter().any(|seen| matches!(seen, Seen::Opened(_))));
        for cuts in [&cuts[..], &[1]] {
            let pieces = fed_in_pieces(&input, cuts);
            prop_assert_eq!(&pieces.seen, &whole.seen);
            prop_assert_eq!(&pieces.out, &whole.out);
        }
    }

    #[test]
    fn every_request_handed_on_is_within_the_export(input in conversation()) {
        for seen in fed_in_pieces(&input, &[usize::MAX]).seen {
            let Seen::Request(Request { command, .. }) = seen else { continue };
            let (offset, length) = match command {
                Command::Flush => continue,
                Command::Read { offset, length, .. }
                | Command::Write { offset, length, .. }
                | Command::Trim { offset, length, .. }
                | Command::WriteZeroes { offset, length, .. }
                | Command::Cache { offset, length }
                | Command::BlockStatus { offset, length, .. } => (offset, length),
            };
            prop_assert!(length > 0 && offset % 512 == 0 && length % 512 == 0);
            prop_assert!(offset + u64::from(length) <= SIZE);
        }
    }

    #[test]
    fn garbage_never_panics_and_is_never_hoarded(
        start in prop_oneof![Just(Vec::new()), conversation()],
        keep in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..2000),
        cut in 1..300_usize,
    ) {
        let mut input = start;
        if !input.is_empty() {
            input.truncate(keep.index(input.len()));
        }
        input.extend(noise);
        let run = fed_in_pieces(&input, &[cut]);
        // The longest answer to a message is a listing of three exports.
        prop_assert!(run.out.len() <= 1024 + input.len() * 16, "{} bytes for {}", run.out.len(), input.len());
    }

    #[test]
    fn a_bit_turned_anywhere_never_panics(input in conversation(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut input = input;
        let at = at.index(input.len());
        input[at] ^= 1_u8 << bit;
        let whole = fed_in_pieces(&input, &[usize::MAX]);
        prop_assert_eq!(fed_in_pieces(&input, &[3]).seen, whole.seen);
    }
}

#[test]
fn a_refused_write_is_answered_when_its_data_is_through() {
    let mut run = transmit(ALL, |client| client.request(0, cmd::WRITE, 7, SIZE, 1024).data(1023));
    assert!(run.seen.is_empty() && run.out.is_empty(), "the client is still sending");
    assert_eq!(run.session.payload_left(), 0, "the data is not the caller's");
    run.feed(&[0]);
    assert_eq!(run.seen, [Seen::Refused(7, Refused::WriteBeyondEnd)]);
    assert_eq!(chunks(&run.out).len(), 1);
}

#[test]
fn data_may_be_read_past_the_session() {
    let mut run = transmit(ALL, |client| client.request(0, cmd::WRITE, 7, 0, 1024).data(24));
    assert_eq!(run.session.payload_left(), 1000);
    run.session.payload_taken(1000);
    run.feed(&Client::default().request(0, cmd::FLUSH, 8, 0, 0).0);
    assert_eq!(run.seen.last(), Some(&Seen::Request(Request { cookie: 8, command: Command::Flush })));
}
