//! Words for a trace.

use replica::wire::Message;

/// A message in few words: the bytes of a write left out.
#[must_use]
pub(crate) fn brief(message: &Message) -> String {
    match message {
        Message::Write { write } => {
            format!("Write {} at {} len {}", write.id, write.offset / 4096, write.body.bytes())
        }
        Message::SyncData { id, body } => format!("SyncData {id} len {}", body.bytes()),
        Message::BitmapPage { page, last, .. } => format!("BitmapPage {page} last {last}"),
        Message::ReadDone { id, data } => format!("ReadDone {id} {}", data.is_some()),
        other => format!("{other:?}"),
    }
}
