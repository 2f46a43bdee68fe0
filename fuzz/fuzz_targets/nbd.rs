//! Whatever a client sends, in whatever pieces: requests that are handed on lie within the export, and the same bytes in
//! one piece mean the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nbd::{BlockSizes, Command, Event, Export, Exports, Features, Session, TlsPolicy};

const SIZE: u64 = 1 << 20;

/// The client's bytes, cut every `piece` bytes: what is sent back, how many requests, how much data.
fn run(input: &[u8], piece: usize) -> (Vec<u8>, usize, usize) {
    let features = Features {
        flush: true,
        fua: true,
        trim: true,
        write_zeroes: true,
        allocation: true,
        ..Features::default()
    };
    let Ok(export) = Export::new(SIZE, BlockSizes::default(), features) else { return Default::default() };
    let Ok(exports) = Exports::new([(String::new(), export)]) else { return Default::default() };
    let (mut out, mut requests, mut data) = (Vec::new(), 0, 0);
    let mut session = Session::new(exports, TlsPolicy::Offered, &mut out);
    for mut rest in input.chunks(piece) {
        while !rest.is_empty() {
            let Ok(step) = session.receive(rest, &mut out) else { return (out, requests, data) };
            assert!(step.consumed > 0);
            rest = &rest[step.consumed..];
            match step.event {
                Some(Event::Request(request)) => {
                    requests += 1;
                    if let Command::Read { offset, length, .. } | Command::Write { offset, length, .. } =
                        request.command
                    {
                        assert!(length > 0 && offset + u64::from(length) <= SIZE);
                    }
                }
                Some(Event::Payload { data: bytes, .. }) => data += bytes.len(),
                _ => {}
            }
        }
    }
    (out, requests, data)
}

fuzz_target!(|input: &[u8]| {
    let Some((piece, input)) = input.split_first() else { return };
    // The greeting's answer, so that not every input has to begin with it.
    let input = [&[0, 0, 0, 3], input].concat();
    assert_eq!(run(&input, usize::from(*piece) + 1), run(&input, usize::MAX));
});
