# open.pl in Python, for systems without Perl: a change of one is a change of both.
import errno, glob, os, re, select, signal, stat, sys, time

PATIENCE_S, STUCK_LIMIT, SCAN_S, OPEN_FILES_LIMIT = 3, 2, 5, 300000
REMOTE = re.compile(r"(?:\S+ ){4}(\S+) .* - (?:nfs|cifs|smb|ceph|fuse|9p|afs|gluster|lustre)")


def say(text):
    os.write(1, text.encode("utf-8", "surrogateescape"))


def number(seen):
    return "%d:%d" % (os.major(seen.st_rdev), os.minor(seen.st_rdev))


def block(path):
    try:
        seen = os.stat(path)
    except OSError:
        return None
    return number(seen) if stat.S_ISBLK(seen.st_mode) else None


def text_of(path):
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def look(node):
    busy, flags = "", os.O_RDONLY | os.O_NONBLOCK
    try:
        # Held exclusively no longer than it takes to see that it can be: somebody may want to mount it now.
        try:
            os.close(os.open(node, flags | os.O_EXCL))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            busy = error.strerror
        file = os.open(node, flags)
    except OSError as error:
        return "fail\t%s\t%s\n" % (node, error.strerror)
    at = None
    try:
        seen = os.fstat(file)
        if not stat.S_ISBLK(seen.st_mode):
            return "fail\t%s\tit is not a block device\n" % node
        size = os.lseek(file, 0, os.SEEK_END)
        line = "open\t%s\t%s\t%s\t%d" % (node, number(seen), busy, size)
        places = [(0, 512), (4096, 128)] + [(n << 27, 128) for n in (1, 2, 3)]
        if size >= 4096:
            places.append((size - size % 4096 - 4096, 128))
        for at, length in places:
            if at + length > size:
                continue
            read = os.pread(file, length, at)
            if len(read) != length:
                return "fail\t%s\tit ends at byte %d\n" % (node, at + len(read))
            line += "\t%d=%s" % (at, read.hex())
        return line + "\n"
    except OSError as error:
        where = "its size cannot be read" if at is None else "reading at byte %d" % at
        return "fail\t%s\t%s: %s\n" % (node, where, error.strerror)
    finally:
        os.close(file)


def scan():
    own, files, out = {os.getpid(), os.getppid()}, 0, []
    remote = [m.group(1) + "/" for m in map(REMOTE.match, text_of("/proc/self/mountinfo").split("\n")) if m]
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) in own:
            continue
        try:
            names = os.listdir("/proc/%s/fd" % pid)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESRCH):
                continue
            return "blind\tprocess %s: %s\n" % (pid, error.strerror)
        for fd in names:
            try:
                path = os.readlink("/proc/%s/fd/%s" % (pid, fd))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ESRCH):
                    continue
                return "blind\tprocess %s: %s\n" % (pid, error.strerror)
            if not path.startswith("/"):
                continue
            files += 1
            if files > OPEN_FILES_LIMIT:
                return "blind\tmore than %d files are open\n" % OPEN_FILES_LIMIT
            if any(path.startswith(place) for place in remote):
                continue
            found = block("/proc/%s/fd/%s" % (pid, fd))
            if not found:
                continue
            comm = re.sub("[\t\n]", " ", text_of("/proc/%s/comm" % pid).rstrip("\n") or "?")
            flags = re.search(r"^flags:\s*(\d+)", text_of("/proc/%s/fdinfo/%s" % (pid, fd)), re.M)
            writes = 1 if not flags or int(flags.group(1), 8) & 3 else 0
            out.append("user\t%s\t%s\t%s\t%d\n" % (found, comm, pid, writes))
    return "".join(out)


def inside():
    out, pattern = [], "/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path"
    names = [(file, file.split("/")[3]) for file in glob.glob("/sys/block/loop*/loop/backing_file")]
    for file, name in names + [(file, "nvmet") for file in glob.glob(pattern)]:
        path = text_of(file).split("\n")[0]
        found = block(path) if path.startswith("/dev/") else None
        if found:
            out.append("user\t%s\t%s\t\t1\n" % (found, name))
    for file in glob.glob("/sys/bus/xen-backend/devices/*/physical_device"):
        found = re.match("([0-9a-f]+):([0-9a-f]+)", text_of(file))
        if found:
            out.append("user\t%d:%d\txen-backend\t\t1\n" % (int(found.group(1), 16), int(found.group(2), 16)))
    return "".join(out)


def child(work):
    into, out = os.pipe()
    pid = os.fork()
    if pid:
        os.close(out)
        return pid, into
    for fd in (into, 1, 2, 4):
        os.close(fd)
    for text in work():
        rest = text.encode("utf-8", "surrogateescape")
        while rest:
            rest = rest[os.write(out, rest):]
    os._exit(0)


class Lines:
    def __init__(self, fd):
        self.fd, self.rest = fd, b""

    def next(self, patience_s):
        until = time.monotonic() + patience_s
        while b"\n" not in self.rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return None
            read = os.read(self.fd, 65536)
            if not read:
                return ""
            self.rest += read
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode("utf-8", "surrogateescape") + "\n"


nodes, stuck = sys.argv[1:], 0
while nodes:
    pid, into = child(lambda: (look(node) for node in nodes))
    lines = Lines(into)
    while nodes:
        line, node = lines.next(PATIENCE_S), nodes.pop(0)
        if line is None:
            os.kill(pid, signal.SIGKILL)
            say("fail\t%s\tit did not answer within %d s\n" % (node, PATIENCE_S))
            stuck += 1
            break
        if line == "":
            say("fail\t%s\tthe probe ended there\n" % node)
            break
        say(line)
        if line.startswith("open"):
            os.write(4, (node + "\n").encode())
    if stuck > STUCK_LIMIT:
        for node in nodes:
            say("fail\t%s\t%d other devices did not answer\n" % (node, stuck))
        nodes = []
pid, into = child(lambda: [scan() + inside() + "end\n"])
lines = Lines(into)
while True:
    line = lines.next(SCAN_S)
    if line is None:
        os.kill(pid, signal.SIGKILL)
        say("blind\tit took more than %d s\n" % SCAN_S)
        break
    if line == "":
        break
    say(line)
