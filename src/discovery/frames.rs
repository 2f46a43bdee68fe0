//! Reads the framed stream that a discovery script prints.
//!
//! In: the bytes, the boundary, the questions. Out: one reply per question, always; what is missing or cut is a
//! reply of its own. The stream is whatever the node sent: anything may stand before the first frame (a shell's
//! greeting), payloads are binary, and the end may be missing. Pure.

use super::probe::{Answer, ProbeError};
use super::script::{Boundary, Question};

/// What became of one question.
pub(super) type Reply = Result<Answer, ProbeError>;

/// A line that begins with the boundary.
enum Mark {
    /// The answer to this question begins.
    Open(usize),
    /// It ended with this exit code; stderr follows.
    Close(usize, u32),
    /// The script came to its end.
    End,
}

/// A mark, where its leading newline is, and where its line ends.
struct Placed {
    mark: Mark,
    start: usize,
    end: usize,
}

/// One reply per question, in their order.
pub(super) fn parse(stream: &[u8], boundary: &Boundary, questions: &[Question]) -> Vec<Reply> {
    let marks = marks(stream, boundary);
    let mut replies: Vec<Reply> =
        questions.iter().map(|question| Err(ProbeError::Unanswered { probe: question.probe })).collect();
    for (at, placed) in marks.iter().enumerate() {
        let Mark::Open(index) = placed.mark else { continue };
        let (Some(question), Some(reply)) = (questions.get(index), replies.get_mut(index)) else { continue };
        *reply = answer(stream, &marks, at, index).ok_or(ProbeError::Cut { probe: question.probe });
    }
    replies
}

/// Whether the stream holds any frame of this run: without one, the script did not run at all.
pub(super) fn any(stream: &[u8], boundary: &Boundary) -> bool {
    !marks(stream, boundary).is_empty()
}

/// The answer whose opening mark is number `at`, if it was closed.
fn answer(stream: &[u8], marks: &[Placed], at: usize, index: usize) -> Option<Answer> {
    let open = marks.get(at)?;
    let close = marks.get(at + 1)?;
    let Mark::Close(closed, status) = close.mark else { return None };
    // Without the next mark the words of complaint may be cut, but the answer itself is whole.
    let end = marks.get(at + 2).map_or(stream.len(), |next| next.start);
    (closed == index).then(|| Answer {
        status,
        stdout: stream.get(open.end..close.start).unwrap_or_default().to_vec(),
        stderr: String::from_utf8_lossy(stream.get(close.end..end).unwrap_or_default()).into_owned(),
    })
}

/// All marks of the stream, in order.
fn marks(stream: &[u8], boundary: &Boundary) -> Vec<Placed> {
    let needle = format!("\n{} ", boundary.as_str()).into_bytes();
    let mut marks = Vec::new();
    let mut from = 0;
    while let Some(found) = find(stream.get(from..).unwrap_or_default(), &needle) {
        let start = from + found;
        let words = start + needle.len();
        let rest = stream.get(words..).unwrap_or_default();
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else { break };
        let end = words + length + 1;
        match std::str::from_utf8(&rest[..length]).ok().and_then(mark) {
            Some(mark) => {
                marks.push(Placed { mark, start, end });
                // A frame without content has its opening mark's newline as the closing one's neighbour.
                from = end;
            }
            None => from = words,
        }
    }
    marks
}

/// The words after the boundary.
fn mark(words: &str) -> Option<Mark> {
    let mut words = words.split(' ');
    let mark = match words.next()? {
        "o" => Mark::Open(words.next()?.parse().ok()?),
        "e" => Mark::Close(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
        "z" => Mark::End,
        _ => return None,
    };
    words.next().is_none().then_some(mark)
}

/// Where `needle` is first found. The boundary's first byte is rare in text, so this is quick.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let rare = *needle.get(1)?;
    let mut from = 1;
    while let Some(at) = haystack.get(from..)?.iter().position(|&byte| byte == rare) {
        let start = from + at - 1;
        if haystack.get(start..start + needle.len())? == needle {
            return Some(start);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(count: usize) -> Vec<Question> {
        ["a", "b", "c", "d"]
            .iter()
            .take(count)
            .map(|probe| Question { probe, lines: String::new() })
            .collect()
    }

    /// Exit code, stdout and stderr, or why there are none.
    type Read = Result<(u32, Vec<u8>, String), String>;

    fn read(stream: &[u8], count: usize) -> Vec<Read> {
        parse(stream, &Boundary::fixed("@B"), &questions(count))
            .into_iter()
            .map(|reply| reply.map(|a| (a.status, a.stdout, a.stderr)).map_err(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn payloads_come_back_byte_for_byte() {
        let stream = b"Welcome!\n\n@B o 0\nno newline\xff\0\n@B e 0 3\noops\n@B o 1\n\n@B e 1 0\n\n@B o 2\nx\n\n@B e 2 0\n\n@B z\n";
        assert_eq!(
            read(stream, 3),
            [
                Ok((3, b"no newline\xff\0".to_vec(), "oops".to_owned())),
                Ok((0, b"".to_vec(), String::new())),
                Ok((0, b"x\n".to_vec(), String::new())),
            ]
        );
    }

    #[test]
    fn a_cut_stream_loses_only_what_was_cut() {
        let stream = b"\n@B o 0\nwhole\n@B e 0 0\n\n@B o 1\nhal";
        let replies = read(stream, 3);
        assert_eq!(replies[0], Ok((0, b"whole".to_vec(), String::new())));
        assert_eq!(replies[1], Err("b: the node's answer broke off in the middle of this one".to_owned()));
        assert_eq!(replies[2], Err("c: the node's answer ended before this was answered".to_owned()));
    }

    #[test]
    fn another_runs_frames_are_payload() {
        let stream = b"\n@B o 0\n\n@A e 0 1\n\n@B nonsense\nx\n@B e 0 0\n\n@B z\n";
        assert_eq!(read(stream, 1)[0], Ok((0, b"\n@A e 0 1\n\n@B nonsense\nx".to_vec(), String::new())));
    }

    #[test]
    fn frames_out_of_range_or_order_are_ignored() {
        assert!(read(b"\n@B e 0 0\n\n@B o 9\n\n@B e 9 0\n", 1)[0].is_err());
        assert!(read(b"\n@B o 0\n\n@B e 1 0\n", 2)[0].is_err());
        assert!(!any(b"sh: not found\n", &Boundary::fixed("@B")));
    }
}
