//! A channel through a jump host, as the byte stream of another connection.
//!
//! In: a channel. Out: a stream that always takes what is written. Were a write to wait, the inner connection
//! would stop reading, the outer one could not deliver, and could then not take the write either. What waits
//! here is bounded by the windows of the inner connection's channels.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelStream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf};
use tokio::sync::mpsc;

/// The stream; ends with the channel.
pub(super) struct HopStream {
    reader: ReadHalf<ChannelStream<Msg>>,
    writes: Option<mpsc::UnboundedSender<Bytes>>,
}

impl HopStream {
    pub(super) fn new(channel: Channel<Msg>) -> Self {
        let (reader, mut writer) = tokio::io::split(channel.into_stream());
        let (writes, mut queue) = mpsc::unbounded_channel::<Bytes>();
        tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    // The outer connection has ended: the reader learns it too.
                    break;
                }
            }
            let _ = writer.shutdown().await;
        });
        Self { reader, writes: Some(writes) }
    }
}

impl AsyncRead for HopStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}

impl AsyncWrite for HopStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent =
            self.writes.as_ref().is_some_and(|writes| writes.send(Bytes::copy_from_slice(bytes)).is_ok());
        Poll::Ready(if sent { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes = None;
        Poll::Ready(Ok(()))
    }
}
