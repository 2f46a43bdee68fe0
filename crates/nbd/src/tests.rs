//! The whole codec, from the client's bytes to the server's.

use proptest::prelude::*;

use crate::wire::{
    FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES, Fields, INIT_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, REQUEST_MAGIC,
    SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, chunk, cmd, flag, info, opt, put16, put32, put64, rep,
};
use crate::*;

const SIZE: u64 = 1 << 20;

const ALL: Features = Features {
    read_only: false,
    flush: true,
    fua: true,
    rotational: false,
    trim: true,
    write_zeroes: true,
    fast_zero: true,
    cache: true,
    multi_conn: true,
    allocation: true,
};

fn export(features: Features) -> Export {
    let blocks = BlockSizes::new(512, 4096, 1 << 17).unwrap();
    Export::new(SIZE, blocks, features).unwrap().described("a volume").unwrap()
}

fn exports(features: Features) -> Exports {
    let secret = Export::new(512, BlockSizes::default(), ALL).unwrap().tls_only();
    let picky = Export::new(512, BlockSizes::default(), ALL).unwrap().insisting_on_block_sizes();
    let all = [("r0", export(features)), ("secret", secret), ("picky", picky)];
    Exports::new(all.map(|(name, export)| (name.to_owned(), export))).unwrap().with_default("r0").unwrap()
}

/// A client's messages, put together by hand.
#[derive(Default)]
struct Client(Vec<u8>);

impl Client {
    fn new() -> Self {
        Self::with_flags(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)
    }

    fn with_flags(flags: u16) -> Self {
        let mut client = Self::default();
        put32(&mut client.0, u32::from(flags));
        client
    }

    fn option(mut self, option: u32, data: &[u8]) -> Self {
        put64(&mut self.0, OPTION_MAGIC);
        put32(&mut self.0, option);
        put32(&mut self.0, u32::try_from(data.len()).unwrap());
        self.0.extend_from_slice(data);
        self
    }

    fn go(self, name: &str) -> Self {
        self.option(opt::GO, &go_data(name, &[info::BLOCK_SIZE]))
    }

    fn request(mut self, flags: u16, command: u16, cookie: u64, offset: u64, length: u32) -> Self {
        put32(&mut self.0, REQUEST_MAGIC);
        put16(&mut self.0, flags);
        put16(&mut self.0, command);
        put64(&mut self.0, cookie);
        put64(&mut self.0, offset);
        put32(&mut self.0, length);
        self
    }

    fn data(mut self, bytes: usize) -> Self {
        self.0.resize(self.0.len() + bytes, 0x5a);
        self
    }
}

fn go_data(name: &str, kinds: &[u16]) -> Vec<u8> {
    let mut data = Vec::new();
    options::put_counted(&mut data, name);
    put16(&mut data, u16::try_from(kinds.len()).unwrap());
    kinds.iter().for_each(|kind| put16(&mut data, *kind));
    data
}

fn meta_data(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = Vec::new();
    options::put_counted(&mut data, name);
    put32(&mut data, u32::try_from(queries.len()).unwrap());
    queries.iter().for_each(|query| options::put_counted(&mut data, query));
    data
}

/// Events that own what they hold; pieces of one write's data are put together.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    StartTls,
    Opened(String),
    Request(Request),
    Payload(Vec<u8>, bool),
    Refused(u64, Refused),
    Ended(End),
    Dropped(Violation),
}

struct Run {
    seen: Vec<Seen>,
    out: Vec<u8>,
    session: Session,
}

impl Run {
    fn new(features: Features, tls: TlsPolicy) -> Self {
        let mut out = Vec::new();
        let session = Session::new(exports(features), tls, &mut out);
        Self { seen: Vec::new(), out, session }
    }

    fn feed(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let step = match self.session.receive(input, &mut self.out) {
                Ok(step) => step,
                Err(violation) => return self.seen.push(Seen::Dropped(violation)),
            };
            assert!(step.consumed > 0 && step.consumed <= input.len());
            input = &input[step.consumed..];
            let Some(event) = step.event else { continue };
            let seen = match event {
                Event::StartTls => Seen::StartTls,
                Event::Opened => Seen::Opened(self.session.export_name().unwrap().to_owned()),
                Event::Request(request) => Seen::Request(request),
                Event::Payload { data, last } => {
                    if let Some(Seen::Payload(before, false)) = self.seen.last_mut() {
                        before.extend_from_slice(data);
                        if last {
                            let whole = std::mem::take(before);
                            *self.seen.last_mut().unwrap() = Seen::Payload(whole, true);
                        }
                        continue;
                    }
                    Seen::Payload(data.to_vec(), last)
                }
                Event::Refused { cookie, refused } => Seen::Refused(cookie, refused),
                Event::Ended(end) => Seen::Ended(end),
            };
            self.seen.push(seen);
        }
    }

    /// The kinds of the replies to options, after the greeting.
    fn option_replies(&self) -> Vec<(u32, u32, Vec<u8>)> {
        let mut fields = Fields(&self.out[18..]);
        let mut replies = Vec::new();
        while let Some(magic) = fields.u64() {
            assert_eq!(magic, OPTION_REPLY_MAGIC);
            let (option, kind) = (fields.u32().unwrap(), fields.u32().unwrap());
            replies.push((option, kind, fields.counted().unwrap().to_vec()));
        }
        replies
    }

    fn kinds(&self) -> Vec<u32> {
        self.option_replies().into_iter().map(|(_, kind, _)| kind).collect()
    }
}

fn run_with(features: Features, tls: TlsPolicy, client: &Client) -> Run {
    let mut run = Run::new(features, tls);
    run.feed(&client.0);
    run
}

fn run(client: &Client) -> Run {
    run_with(ALL, TlsPolicy::Unsupported, client)
}

/// What is sent and seen after structured replies and `base:allocation` were agreed on and `r0` was opened.
fn transmit(features: Features, requests: impl FnOnce(Client) -> Client) -> Run {
    let mut run = run_with(
        features,
        TlsPolicy::Unsupported,
        &Client::new()
            .option(opt::STRUCTURED_REPLY, &[])
            .option(opt::SET_META_CONTEXT, &meta_data("r0", &["base:allocation"]))
            .go("r0"),
    );
    assert_eq!(run.seen, [Seen::Opened("r0".to_owned())]);
    run.seen.clear();
    run.out.clear();
    run.feed(&requests(Client::default()).0);
    run
}

#[derive(Debug, PartialEq)]
struct Chunk {
    flags: u16,
    kind: u16,
    cookie: u64,
    data: Vec<u8>,
}

fn chunks(out: &[u8]) -> Vec<Chunk> {
    let mut fields = Fields(out);
    let mut found = Vec::new();
    while let Some(magic) = fields.u32() {
        assert_eq!(magic, STRUCTURED_REPLY_MAGIC);
        let (flags, kind) = (fields.u16().unwrap(), fields.u16().unwrap());
        let cookie = fields.u64().unwrap();
        found.push(Chunk { flags, kind, cookie, data: fields.counted().unwrap().to_vec() });
    }
    found
}

#[test]
fn the_greeting_offers_fixed_newstyle_without_zeroes() {
    let mut out = Vec::new();
    let _session = Session::new(exports(ALL), TlsPolicy::Unsupported, &mut out);
    let mut fields = Fields(&out);
    assert_eq!((fields.u64(), fields.u64(), fields.u16()), (Some(INIT_MAGIC), Some(OPTION_MAGIC), Some(3)));
    assert!(fields.0.is_empty());
}

#[test]
fn info_and_go_tell_size_flags_blocks_name_and_description() {
    let data = go_data("", &[info::NAME, info::DESCRIPTION, 77]);
    let client = Client::new().option(opt::STRUCTURED_REPLY, &[]).option(opt::INFO, &data);
    let run = run(&client.option(opt::GO, &data));
    let replies = run.option_replies();
    let infos: Vec<&[u8]> =
        replies.iter().filter(|reply| reply.1 == rep::INFO).map(|reply| &reply.2[..]).collect();
    assert_eq!(infos[..4], infos[4..], "GO tells what INFO told");
    let mut export = Fields(infos[0]);
    assert_eq!((export.u16(), export.u64()), (Some(info::EXPORT), Some(SIZE)));
    let flags = export.u16().unwrap();
    assert_eq!(flags & (flag::READ_ONLY | flag::ROTATIONAL), 0);
    assert_eq!(flags & flag::CAN_MULTI_CONN, flag::CAN_MULTI_CONN);
    assert_eq!(flags & flag::SEND_DF, flag::SEND_DF);
    assert_eq!(infos[1], [0, 3, 0, 0, 2, 0, 0, 0, 16, 0, 0, 2, 0, 0]);
    assert_eq!(infos[2], b"\0\x01r0");
    assert_eq!(infos[3], b"\0\x02a volume");
    assert_eq!(run.seen, [Seen::Opened("r0".to_owned())], "the empty name means the default");
}

#[test]
fn features_that_an_export_has_not_are_not_offered() {
    let features = Features { read_only: true, trim: true, write_zeroes: true, ..Features::default() };
    let run = run_with(features, TlsPolicy::Unsupported, &Client::new().go("r0"));
    let (_, _, export) = &run.option_replies()[0];
    assert_eq!(export[10..], (flag::HAS_FLAGS | flag::READ_ONLY).to_be_bytes());
}

#[test]
fn the_old_way_in_gets_size_flags_and_zeroes_unless_waved() {
    for (flags, zeroes) in [(0, 124), (FLAG_FIXED_NEWSTYLE, 124), (FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 0)] {
        let run = run(&Client::with_flags(flags).option(opt::EXPORT_NAME, b"r0"));
        assert_eq!(run.seen, [Seen::Opened("r0".to_owned())]);
        assert_eq!(run.out.len(), 18 + 10 + zeroes);
        assert_eq!(run.out[18..26], SIZE.to_be_bytes());
    }
}

#[test]
fn what_an_option_may_not_be_is_answered_and_the_next_one_is_understood() {
    let too_big = vec![0; MAX_OPTION_BYTES as usize + 1];
    let mut cut_short = meta_data("r0", &["base:allocation"]);
    cut_short.truncate(20);
    let mut too_much = go_data("r0", &[]);
    too_much.push(0);
    let client = Client::new()
        .option(4711, b"whatever")
        .option(4711, &[])
        .option(opt::LIST, b"x")
        .option(opt::STARTTLS, &[])
        .option(opt::INFO, &too_big)
        .option(opt::INFO, b"\xff\xff\xff\xffr0")
        .option(opt::INFO, &too_much)
        .option(opt::INFO, &go_data("nothing", &[]))
        .option(opt::INFO, &go_data(&"n".repeat(MAX_NAME_BYTES + 1), &[]))
        .option(opt::LIST_META_CONTEXT, &meta_data("r0", &[]))
        .option(opt::STRUCTURED_REPLY, b"x")
        .option(opt::STRUCTURED_REPLY, &[])
        .option(opt::SET_META_CONTEXT, &cut_short)
        .option(opt::GO, &go_data("picky", &[]))
        .option(opt::ABORT, b"bye");
    let run = run(&client);
    let wanted = [
        rep::ERR_UNSUP,
        rep::ERR_UNSUP,
        rep::ERR_INVALID,
        rep::ERR_UNSUP,
        rep::ERR_TOO_BIG,
        rep::ERR_INVALID,
        rep::ERR_INVALID,
        rep::ERR_UNKNOWN,
        rep::ERR_INVALID,
        rep::ERR_INVALID,
        rep::ERR_INVALID,
        rep::ACK,
        rep::ERR_INVALID,
        rep::INFO,
        rep::INFO,
        rep::ERR_BLOCK_SIZE_REQD,
        rep::ACK,
    ];
    assert_eq!(run.kinds(), wanted);
    assert_eq!(run.seen, [Seen::Ended(End::Aborted)]);
}

#[test]
fn contexts_are_listed_by_wildcard_but_selected_by_name_only() {
    let listed = |queries: &[&str]| {
        let client = Client::new()
            .option(opt::STRUCTURED_REPLY, &[])
            .option(opt::LIST_META_CONTEXT, &meta_data("r0", queries));
        run(&client).kinds().contains(&rep::META_CONTEXT)
    };
    assert!(listed(&[]) && listed(&["base:"]) && listed(&["x-what:", "base:allocation"]));
    assert!(!listed(&["x-what:"]) && !listed(&["base:dirty"]));
    let selected = |queries: &[&str], name: &str| {
        let client = Client::new()
            .option(opt::STRUCTURED_REPLY, &[])
            .option(opt::SET_META_CONTEXT, &meta_data(name, queries))
            .go("r0")
            .request(0, cmd::BLOCK_STATUS, 1, 0, 512);
        matches!(run(&client).seen[1], Seen::Request(_))
    };
    assert!(selected(&["base:allocation"], "r0") && selected(&["x-a:b", "base:allocation"], ""));
    assert!(!selected(&[], "r0") && !selected(&["base:"], "r0"));
    assert!(!selected(&["base:allocation"], "picky"), "selected for another export");
}

#[test]
fn tls_is_started_as_the_policy_says_and_forgets_what_was_agreed_on_before() {
    let kinds = |policy, client: Client| run_with(ALL, policy, &client).kinds();
    let start = || Client::new().option(opt::STARTTLS, &[]);
    assert_eq!(kinds(TlsPolicy::Refused, start()), [rep::ERR_POLICY]);
    let early = Client::new().option(opt::LIST, &[]).go("r0").option(99, &[]).option(opt::ABORT, &[]);
    assert_eq!(
        kinds(TlsPolicy::Required, early),
        [rep::ERR_TLS_REQD, rep::ERR_TLS_REQD, rep::ERR_TLS_REQD, rep::ACK]
    );
    let hidden = Client::new().option(opt::LIST, &[]).go("secret");
    assert_eq!(kinds(TlsPolicy::Offered, hidden), [rep::SERVER, rep::SERVER, rep::ACK, rep::ERR_TLS_REQD]);

    let client = Client::new().option(opt::STRUCTURED_REPLY, &[]).option(opt::STARTTLS, &[]);
    let client = client.option(opt::STARTTLS, &[]).go("secret").request(0, cmd::READ, 1, 0, 512);
    let run = run_with(ALL, TlsPolicy::Required, &Client::new().option(opt::STARTTLS, &[]).go("secret"));
    assert_eq!(run.seen, [Seen::StartTls, Seen::Opened("secret".to_owned())]);
    let run = run_with(ALL, TlsPolicy::Offered, &client);
    assert_eq!(run.kinds(), [rep::ACK, rep::ACK, rep::ERR_INVALID, rep::INFO, rep::INFO, rep::ACK]);
    assert!(!run.session.replies().structured(), "structured replies must be agreed on again");
}

#[test]
fn nothing_is_consumed_beyond_starttls() {
    let client = Client::new().option(opt::STARTTLS, &[]);
    let mut run = Run::new(ALL, TlsPolicy::Offered);
    let mut input = client.0.clone();
    input.extend_from_slice(b"\x16\x03\x01");
    let first = run.session.receive(&input, &mut run.out).unwrap();
    let second = run.session.receive(&input[first.consumed..], &mut run.out).unwrap();
    assert_eq!(second.event, Some(Event::StartTls));
    assert_eq!(first.consumed + second.consumed, client.0.len());
}

#[test]
fn what_cannot_be_answered_drops_the_connection() {
    let dropped = |features, tls, client: Client| match run_with(features, tls, &client).seen.pop() {
        Some(Seen::Dropped(violation)) => violation,
        other => panic!("{other:?}"),
    };
    let plain = |client| dropped(ALL, TlsPolicy::Unsupported, client);
    assert_eq!(plain(Client::with_flags(8)), Violation::ClientFlags(8));
    assert_eq!(plain(Client::new().data(16)), Violation::OptionMagic(0x5a5a_5a5a_5a5a_5a5a));
    assert_eq!(plain(Client::with_flags(0).option(opt::LIST, &[])), Violation::NotFixed(opt::LIST));
    assert_eq!(plain(Client::new().option(opt::EXPORT_NAME, b"nothing")), Violation::UnknownExport);
    assert_eq!(plain(Client::new().option(opt::EXPORT_NAME, &[b'n'; 5000])), Violation::UnknownExport);
    assert_eq!(plain(Client::new().option(opt::EXPORT_NAME, b"secret")), Violation::Unencrypted);
    assert_eq!(plain(Client::new().option(opt::EXPORT_NAME, b"picky")), Violation::NoBlockSizes);
    assert_eq!(plain(Client::new().go("r0").data(28)), Violation::RequestMagic(0x5a5a_5a5a));
    let unencrypted = Client::new().option(opt::EXPORT_NAME, b"r0");
    assert_eq!(dropped(ALL, TlsPolicy::Required, unencrypted), Violation::Unencrypted);
    let many = (0..=MAX_OPTIONS).fold(Client::new(), |client, _| client.option(opt::LIST, &[]));
    assert_eq!(plain(many), Violation::TooManyOptions);
}

#[test]
fn requests_are_handed_on_with_their_flags() {
    let run = transmit(ALL, |client| {
        client
            .request(cmd::FLAG_DF, cmd::READ, 1, 512, 1024)
            .request(cmd::FLAG_FUA, cmd::WRITE, 2, SIZE - 512, 512)
            .data(512)
            .request(cmd::FLAG_FUA, cmd::FLUSH, 3, 0, 0)
            .request(0, cmd::TRIM, 4, 0, u32::try_from(SIZE).unwrap())
            .request(cmd::FLAG_FAST_ZERO | cmd::FLAG_NO_HOLE, cmd::WRITE_ZEROES, 5, 0, 1 << 19)
            .request(0, cmd::CACHE, 6, 0, 512)
            .request(cmd::FLAG_REQ_ONE, cmd::BLOCK_STATUS, 7, 0, 512)
            .request(0, cmd::DISC, 8, 0, 0)
            .request(0, cmd::READ, 9, 0, 512)
    });
    let wanted = [
        Command::Read { offset: 512, length: 1024, unfragmented: true },
        Command::Write { offset: SIZE - 512, length: 512, fua: true },
        Command::Flush,
        Command::Trim { offset: 0, length: 1 << 20, fua: false },
        Command::WriteZeroes { offset: 0, length: 1 << 19, fua: false, no_hole: true, fast_only: true },
        Command::Cache { offset: 0, length: 512 },
        Command::BlockStatus { offset: 0, length: 512, one: true },
    ];
    let mut requests = wanted.iter().zip(1..).map(|(command, cookie)| Request { cookie, command: *command });
    let mut expected: Vec<Seen> = requests.by_ref().map(Seen::Request).collect();
    expected.insert(2, Seen::Payload(vec![0x5a; 512], true));
    expected.push(Seen::Ended(End::Disconnected));
    assert_eq!(run.seen, expected, "and nothing after the disconnect");
    assert!(run.out.is_empty(), "replies are the caller's to make");
}

#[test]
fn what_a_request_may_not_be_is_answered_and_the_connection_stays_usable() {
    let end = u32::try_from(SIZE).unwrap();
    let cases: [(u16, u16, u64, u32, Refused); 18] = [
        (0, 99, 0, 0, Refused::Command),
        (1 << 9, cmd::READ, 0, 512, Refused::Flags),
        (cmd::FLAG_NO_HOLE, cmd::TRIM, 0, 512, Refused::Flags),
        (cmd::FLAG_DF, cmd::WRITE, 0, 512, Refused::Flags),
        (0, cmd::READ, 1, 512, Refused::Unaligned),
        (0, cmd::WRITE, 0, 511, Refused::Unaligned),
        (0, cmd::READ, SIZE, 512, Refused::BeyondEnd),
        (0, cmd::READ, u64::MAX - 511, 512, Refused::BeyondEnd),
        (0, cmd::WRITE, SIZE, 512, Refused::WriteBeyondEnd),
        (0, cmd::WRITE, SIZE, 0x0200_0000, Refused::WriteBeyondEnd),
        (0, cmd::WRITE_ZEROES, 512, end, Refused::WriteBeyondEnd),
        (0, cmd::TRIM, 512, end, Refused::BeyondEnd),
        (0, cmd::CACHE, 512, end, Refused::BeyondEnd),
        (0, cmd::READ, 0, (1 << 17) + 512, Refused::TooLong),
        (0, cmd::WRITE, 0, (1 << 17) + 512, Refused::TooLong),
        (0, cmd::FLUSH, 0, 512, Refused::FlushRange),
        (0, cmd::BLOCK_STATUS, 0, 0, Refused::Empty),
        (0, cmd::BLOCK_STATUS, SIZE, 512, Refused::BeyondEnd),
    ];
    for (flags, command, offset, length, refused) in cases {
        let run = transmit(ALL, |client| {
            let client = client.request(flags, command, 7, offset, length);
            let client = if command == cmd::WRITE { client.data(length as usize) } else { client };
            client.request(0, cmd::FLUSH, 8, 0, 0)
        });
        let next = Request { cookie: 8, command: Command::Flush };
        assert_eq!(run.seen, [Seen::Refused(7, refused), Seen::Request(next)]);
        let chunks = chunks(&run.out);
        let [Chunk { flags: chunk::FLAG_DONE, kind: chunk::ERROR, cookie: 7, data }] = &chunks[..] else {
            panic!("{chunks:?}")
        };
        let mut fields = Fields(data);
        assert_eq!(fields.u32(), Some(refused.errno().code()));
        assert_eq!(usize::from(fields.u16().unwrap()), fields.0.len());
        assert_eq!(fields.0, refused.to_string().as_bytes());
    }
}

#[test]
fn what_an_export_does_not_offer_is_refused() {
    let one = |features, command| {
        let run = transmit(features, |client| client.request(0, command, 7, 0, 0));
        run.seen.first().cloned()
    };
    let read_only = Features { read_only: true, ..ALL };
    for command in [cmd::WRITE, cmd::TRIM, cmd::WRITE_ZEROES] {
        assert_eq!(one(read_only, command), Some(Seen::Refused(7, Refused::ReadOnly)));
    }
    for command in [cmd::FLUSH, cmd::TRIM, cmd::WRITE_ZEROES, cmd::CACHE] {
        assert_eq!(one(Features::default(), command), Some(Seen::Refused(7, Refused::NotOffered)));
    }
    assert_eq!(one(Features::default(), cmd::BLOCK_STATUS), Some(Seen::Refused(7, Refused::NoContext)));
    let no_fua = Features { fua: false, fast_zero: false, ..ALL };
    for (flag, command) in [(cmd::FLAG_FUA, cmd::WRITE), (cmd::FLAG_FAST_ZERO, cmd::WRITE_ZEROES)] {
        let run = transmit(no_fua, |client| client.request(flag, command, 7, 0, 0));
        assert_eq!(run.seen, [Seen::Refused(7, Refused::Flags)]);
    }
    assert_eq!(Refused::ReadOnly.errno(), Errno::Perm);
    assert_eq!(Refused::WriteBeyondEnd.errno(), Errno::NoSpc);
}

#[test]
fn empty_ranges_succeed_without_reaching_the_disk() {
    let run = transmit(ALL, |client| client.request(0, cmd::READ, 1, 0, 0));
    assert_eq!(chunks(&run.out), [Chunk { flags: 1, kind: chunk::NONE, cookie: 1, data: vec![] }]);
    let run = transmit(ALL, |client| client.request(0, cmd::WRITE, 1, SIZE, 0));
    assert!(run.seen.is_empty());
    assert_eq!(run.out, [&SIMPLE_REPLY_MAGIC.to_be_bytes()[..], &[0; 4], &1_u64.to_be_bytes()].concat());
}

#[test]
fn the_size_after_a_resize_counts() {
    let mut run = transmit(ALL, |client| client);
    run.feed(&Client::default().request(0, cmd::READ, 1, SIZE, 512).0);
    assert_eq!(run.session.resize(SIZE + 1), Err(ExportError::Size { size: SIZE + 1, minimum: 512 }));
    run.session.resize(SIZE + 512).unwrap();
    run.feed(&Client::default().request(0, cmd::READ, 2, SIZE, 512).0);
    let read = Command::Read { offset: SIZE, length: 512, unfragmented: false };
    let wanted = [Seen::Refused(1, Refused::BeyondEnd), Seen::Request(Request { cookie: 2, command: read })];
    assert_eq!(run.seen, wanted);
}

#[path = "tests_replies.rs"]
mod replies;
