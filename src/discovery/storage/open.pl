# Opens block devices read-only, reads what stands at known places, and looks who else has them open. Writes nothing.
# Arguments: device nodes. Out: lines of words with tabs between; on descriptor 4 the nodes that answered.
# open.py is the same in Python: a change of one is a change of both.
use strict;
use Fcntl;
my ($patience_s, $stuck_limit, $scan_s, $open_files_limit) = (3, 2, 5, 300000);
$| = 1;
open(my $good, '>&=', 4) or die "descriptor 4: $!\n";

sub number {
    my $rdev = shift;
    my $major = (($rdev >> 8) & 0xfff) | (($rdev >> 32) & ~0xfff);
    my $minor = ($rdev & 0xff) | (($rdev >> 12) & ~0xff);
    return "$major:$minor";
}

# The number of a block device by one of its names; nothing for everything else.
sub block {
    my @seen = stat(shift);
    return @seen && -b _ ? number($seen[6]) : undef;
}

sub look {
    my $node = shift;
    my ($busy, $file) = ('');
    # Held exclusively no longer than it takes to see that it can be: somebody may want to mount it now.
    if (sysopen($file, $node, O_RDONLY | O_NONBLOCK | O_EXCL)) { close $file; }
    elsif ($!{EBUSY}) { $busy = "$!"; }
    else { return "fail\t$node\t$!\n"; }
    sysopen($file, $node, O_RDONLY | O_NONBLOCK) or return "fail\t$node\t$!\n";
    my ($kind, $told) = told($file, $busy);
    close $file;
    return "$kind\t$node\t$told\n";
}

sub told {
    my ($file, $busy) = @_;
    my @seen = stat($file) or return ('fail', "fstat: $!");
    return ('fail', 'it is not a block device') unless -b _;
    my $size = sysseek($file, 0, 2) or return ('fail', "its size cannot be read: $!");
    my @places = ([0, 512], [4096, 128]);
    push @places, map { [$_ << 27, 128] } 1 .. 3;
    push @places, [$size - $size % 4096 - 4096, 128] if $size >= 4096;
    my $line = number($seen[6]) . "\t$busy\t" . ($size + 0);
    for my $place (@places) {
        my ($at, $length) = @$place;
        next if $at + $length > $size;
        my $bytes;
        return ('fail', "reading at byte $at: $!")
            unless sysseek($file, $at, 0) && defined sysread($file, $bytes, $length);
        return ('fail', 'it ends at byte ' . ($at + length $bytes)) if length $bytes != $length;
        $line .= "\t$at=" . unpack('H*', $bytes);
    }
    return ('open', $line);
}

sub scan {
    opendir(my $processes, '/proc') or return "blind\t/proc: $!\n";
    my ($out, $files, %remote) = ('', 0);
    if (open(my $mounts, '<', '/proc/self/mountinfo')) {
        # Asking about a file of a server that is gone would never end.
        while (<$mounts>) {
            $remote{$1} = 1 if /^(?:\S+ ){4}(\S+) .* - (?:nfs|cifs|smb|ceph|fuse|9p|afs|gluster|lustre)/;
        }
    }
    while (my $pid = readdir $processes) {
        next unless $pid =~ /^\d+$/ && $pid != $$ && $pid != getppid;
        if (!opendir(my $open, "/proc/$pid/fd")) {
            return "blind\tprocess $pid: $!\n" unless $!{ENOENT} || $!{ESRCH};
        } else {
            while (my $fd = readdir $open) {
                next if $fd =~ /^\./;
                my $path = readlink("/proc/$pid/fd/$fd");
                return "blind\tprocess $pid: $!\n" unless defined $path || $!{ENOENT} || $!{ESRCH};
                next unless defined $path && $path =~ m{^/};
                return "blind\tmore than $open_files_limit files are open\n" if ++$files > $open_files_limit;
                next if grep { index($path, "$_/") == 0 } keys %remote;
                my $number = block("/proc/$pid/fd/$fd") or next;
                my ($name, $writes) = ('?', 1);
                if (open(my $comm, '<', "/proc/$pid/comm")) { chomp($name = <$comm> // '?'); }
                if (open(my $info, '<', "/proc/$pid/fdinfo/$fd")) {
                    while (<$info>) { $writes = oct($1) & 3 ? 1 : 0 if /^flags:\s*(\d+)/; }
                }
                $name =~ s/[\t\n]/ /g;
                $out .= "user\t$number\t$name\t$pid\t$writes\n";
            }
        }
    }
    return $out;
}

# Loop devices and exports to guests and initiators open without O_EXCL, and inside the kernel.
sub inside {
    my $out = '';
    my @names = map { [$_, m{/(loop\d+)/}] } glob('/sys/block/loop*/loop/backing_file');
    push @names, map { [$_, 'nvmet'] } glob('/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path');
    for (@names) {
        my ($file, $name) = @$_;
        open(my $in, '<', $file) or next;
        chomp(my $path = <$in> // '');
        my $number = $path =~ m{^/dev/} && block($path) or next;
        $out .= "user\t$number\t$name\t\t1\n";
    }
    for my $file (glob('/sys/bus/xen-backend/devices/*/physical_device')) {
        open(my $in, '<', $file) or next;
        my ($major, $minor) = (<$in> // '') =~ /^([0-9a-f]+):([0-9a-f]+)/ or next;
        $out .= "user\t" . hex($major) . ':' . hex($minor) . "\txen-backend\t\t1\n";
    }
    return $out;
}

# A child does what may hang for ever; it holds nothing that whoever waits for this program waits for.
sub child {
    my $work = shift;
    pipe(my $in, my $out) or die "pipe: $!\n";
    defined(my $pid = fork) or die "fork: $!\n";
    if ($pid) { close $out; return ($pid, $in); }
    close $_ for $in, $good, *STDOUT, *STDERR;
    $work->($out);
    close $out;
    require POSIX;
    POSIX::_exit(0);
}

# The next line of a child; empty at its end, undefined when it said nothing for so long.
sub line {
    my ($in, $patience_s, $rest) = @_;
    my $until = time + $patience_s;
    while ($$rest !~ /\n/) {
        my $ready = '';
        vec($ready, fileno $in, 1) = 1;
        my $left = $until - time;
        return undef if $left <= 0 || !select($ready, undef, undef, $left);
        return '' unless sysread($in, $$rest, 65536, length $$rest);
    }
    $$rest =~ s/^([^\n]*\n)//;
    return $1;
}

my ($stuck, @nodes) = (0, @ARGV);
while (@nodes) {
    my ($pid, $in) = child(sub { my $out = shift; syswrite($out, look($_)) for @nodes; });
    my $rest = '';
    while (@nodes) {
        my $line = line($in, $patience_s, \$rest);
        my $node = shift @nodes;
        if (!defined $line) {
            kill 'KILL', $pid;
            print "fail\t$node\tit did not answer within $patience_s s\n";
            $stuck++;
            last;
        }
        if ($line eq '') { print "fail\t$node\tthe probe ended there\n"; last; }
        print $line;
        syswrite($good, "$node\n") if $line =~ /^open/;
    }
    if ($stuck > $stuck_limit) {
        print "fail\t$_\t$stuck other devices did not answer\n" for splice @nodes;
    }
}
my ($pid, $in) = child(sub { my $out = shift; my $text = scan() . inside() . "end\n"; my $at = 0;
    while ($at < length $text) { $at += syswrite($out, $text, 4096, $at) || last; } });
my $rest = '';
while (1) {
    my $line = line($in, $scan_s, \$rest);
    if (!defined $line) { kill 'KILL', $pid; print "blind\tit took more than $scan_s s\n"; last; }
    last if $line eq '';
    print $line;
}
