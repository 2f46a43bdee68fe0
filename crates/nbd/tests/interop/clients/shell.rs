//! `nbdsh`: what no well-behaved client does. The scripts are Python; an `assert` that fails fails the test.

use nbd::{Refused, TlsPolicy};

use super::program::succeed;
use crate::server::{ALL, BAD_SECTOR, Server};

const SIZE: u64 = 4 << 20;

/// What all scripts begin with.
const PREAMBLE: &str = r"
import errno, sys

SIZE = 4 << 20
SOCKET = sys.argv[1] if len(sys.argv) > 1 else None

def fails(wanted, call, *args, **named):
    try:
        call(*args, **named)
    except nbd.Error as error:
        assert error.errnum == wanted, (error.errno, call, args, named)
        return error.string
    raise AssertionError(('did not fail', call, args, named))
";

fn script(server: &Server, text: &str) {
    let text = format!("{PREAMBLE}\nSOCKET = {:?}\n{text}", server.socket().to_str().unwrap());
    succeed("nbdsh", &["-c", &text]);
}

pub(crate) fn malformed_requests() {
    let server = Server::start(SIZE, ALL, TlsPolicy::Unsupported);
    script(
        &server,
        r"
h.set_strict_mode(0)
h.set_export_name('r0')
h.add_meta_context('base:allocation')
h.connect_unix(SOCKET)
h.pwrite(b'k' * 512, 0)
for round in range(3):
    # Beyond the end, by a little and by a lot.
    fails(errno.EINVAL, h.pread, 512, SIZE)
    fails(errno.EINVAL, h.pread, 1024, SIZE - 512)
    fails(errno.ENOSPC, h.pwrite, b'x' * 512, SIZE)
    fails(errno.ENOSPC, h.pwrite, b'x' * (3 << 20), SIZE - 512)
    fails(errno.ENOSPC, h.zero, 512, SIZE)
    fails(errno.EINVAL, h.trim, 512, SIZE)
    fails(errno.EINVAL, h.cache, 512, SIZE)
    fails(errno.EINVAL, h.pread, 512, 0x7ffffffffffffe00)
    # Not aligned.
    fails(errno.EINVAL, h.pread, 100, 0)
    fails(errno.EINVAL, h.pwrite, b'x' * 512, 17)
    # More at once than may be.
    fails(errno.EINVAL, h.pwrite, b'x' * ((2 << 20) + 512), 0)
    # Flags that are unknown, or of other commands.
    fails(errno.EINVAL, h.pread, 512, 0, nbd.CMD_FLAG_NO_HOLE)
    fails(errno.EINVAL, h.pwrite, b'x' * 512, 0, nbd.CMD_FLAG_DF)
    fails(errno.EINVAL, h.trim, 512, 0, nbd.CMD_FLAG_FAST_ZERO)
    fails(errno.EINVAL, h.flush, nbd.CMD_FLAG_REQ_ONE)
    fails(errno.EINVAL, h.pread, 512, 0, 1 << 14)
    # Of nothing.
    fails(errno.EINVAL, h.block_status, 0, 0, lambda *a: 0)
    h.pwrite(b'', 0)
    h.zero(0, 0)
    # And it still works.
    assert h.pread(512, 0) == b'k' * 512
    h.flush(nbd.CMD_FLAG_FUA)
assert h.pread(SIZE // 2, 1024).count(0) == SIZE // 2
h.shutdown()
",
    );
    let disk = server.disk.lock().unwrap();
    assert!(disk.contents()[512..].iter().all(|byte| *byte == 0), "nothing that was refused was written");
    assert_eq!(disk.refused.len(), 3 * 17);
    assert!(disk.refused.contains(&Refused::TooLong) && disk.refused.contains(&Refused::Empty));
    drop(disk);

    let features = nbd::Features { read_only: true, ..ALL };
    let server = Server::start(SIZE, features, TlsPolicy::Unsupported);
    script(
        &server,
        r"
h.set_strict_mode(0)
h.set_export_name('r0')
h.connect_unix(SOCKET)
assert h.is_read_only() and not h.can_trim() and not h.can_zero()
for round in range(3):
    fails(errno.EPERM, h.pwrite, b'x' * 65536, 0)
    fails(errno.EPERM, h.trim, 512, 0)
    fails(errno.EPERM, h.zero, 512, 0)
    fails(errno.EINVAL, h.block_status, 512, 0, lambda *a: 0)
    assert h.pread(512, 0) == bytes(512)
h.shutdown()
",
    );
}

pub(crate) fn failing_options() {
    let server = Server::start(SIZE, ALL, TlsPolicy::Unsupported);
    script(
        &server,
        r"
h.set_strict_mode(0)
h.set_opt_mode(True)
h.connect_unix(SOCKET)
assert h.get_protocol() == 'newstyle-fixed'

seen = []
assert h.opt_list(lambda name, text: seen.append((name, text))) == 2
assert seen == [('other', ''), ('r0', 'the first volume')], seen

h.set_export_name('no such export')
fails(errno.ENOENT, h.opt_info)
fails(errno.ENOENT, h.opt_go)
h.set_export_name('r0')
h.opt_info()
assert h.get_size() == SIZE
seen = []
assert h.opt_list_meta_context(lambda name: seen.append(name)) == 1
assert seen == ['base:allocation'], seen
for query, count in [('base:', 1), ('x-other:', 0), ('base:unknown', 0)]:
    h.clear_meta_contexts()
    h.add_meta_context(query)
    assert h.opt_list_meta_context(lambda name: 0) == count, query
h.clear_meta_contexts()
h.add_meta_context('qemu:dirty-bitmap:x')
h.add_meta_context('base:allocation')
h.opt_go()
extents = []
h.block_status(SIZE, 0, lambda context, offset, entries, error: extents.append((context, entries)))
assert extents == [('base:allocation', [SIZE, 3])], extents
h.shutdown()

# Leaving in the middle of the handshake.
h = nbd.NBD()
h.set_opt_mode(True)
h.connect_unix(SOCKET)
h.opt_abort()
",
    );
}

pub(crate) fn old_clients() {
    let server = Server::start(SIZE, ALL, TlsPolicy::Unsupported);
    script(
        &server,
        r"
for flags in [0, nbd.HANDSHAKE_FLAG_FIXED_NEWSTYLE, nbd.HANDSHAKE_FLAG_NO_ZEROES,
              nbd.HANDSHAKE_FLAG_FIXED_NEWSTYLE | nbd.HANDSHAKE_FLAG_NO_ZEROES]:
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.set_handshake_flags(flags)
    h.set_request_structured_replies(False)
    h.set_export_name('r0')
    h.connect_unix(SOCKET)
    assert h.get_size() == SIZE and not h.get_structured_replies_negotiated() and not h.can_df()
    h.pwrite(bytes([flags + 1]) * 8192, 4096)
    assert h.pread(16384, 0) == bytes(4096) + bytes([flags + 1]) * 8192 + bytes(4096)
    # Errors without data, and what comes after them.
    fails(errno.EINVAL, h.pread, 512, SIZE)
    fails(errno.EINVAL, h.pread, 512, 0, nbd.CMD_FLAG_DF)
    fails(errno.ENOSPC, h.pwrite, b'x' * 65536, SIZE)
    assert h.pread(512, 4096) == bytes([flags + 1]) * 512
    h.shutdown()
",
    );
}

pub(crate) fn structured_reads() {
    let server = Server::start(SIZE, ALL, TlsPolicy::Unsupported);
    script(
        &server,
        r"
h.set_export_name('r0')
h.connect_unix(SOCKET)
h.pwrite(b'd' * 4096, 4096)

def read(flags):
    chunks = []
    def chunk(data, offset, status, error):
        chunks.append((offset, len(data), status))
    data = h.pread_structured(12288, 0, chunk, flags)
    assert data == bytes(4096) + b'd' * 4096 + bytes(4096)
    return chunks

hole, data = nbd.READ_HOLE, nbd.READ_DATA
found = read(0)
assert found == [(0, 4096, hole), (4096, 4096, data), (8192, 4096, hole)], found
found = read(nbd.CMD_FLAG_DF)
assert found == [(0, 12288, data)], found
h.shutdown()
",
    );
}

pub(crate) fn disk_errors() {
    let server = Server::start(SIZE, ALL, TlsPolicy::Unsupported);
    server.disk.lock().unwrap().break_sector();
    let text = format!(
        r"
for structured in [True, False]:
    h = nbd.NBD()
    h.set_request_structured_replies(structured)
    h.set_export_name('r0')
    h.connect_unix(SOCKET)
    assert h.pread(4096, {BAD_SECTOR} - 4096) == bytes(4096)
    fails(errno.EIO, h.pread, 8192, {BAD_SECTOR} - 4096)
    assert h.pread(4096, {BAD_SECTOR} + 4096) == bytes(4096)
    h.shutdown()
"
    );
    script(&server, &text);
}
