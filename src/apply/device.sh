# Looks at a block device immediately before it is written to, in the command that writes: what follows this text runs
# only when everything still holds, with the device node in $dev and its own arguments in $@.
# Arguments: path, kind of identity, identity, model, size in bytes, what it may hold (`type/uuid`, one per line).
LC_ALL=C
export LC_ALL
path=$1 by=$2 identity=$3 model=$4 size=$5 holds=$6
shift 6

stop() {
    printf 'hactl-guard: %s\n' "$*" >&2
    exit 79
}

# A text without what differs between its sources: case, blanks, `_` for a blank.
plain() { printf '%s' "$*" | tr 'A-Z_\n' 'a-z  ' | sed 's/  */ /g; s/^ //; s/ $//'; }

column() {
    value=$(lsblk --nodeps --noheadings --output "$1" "$dev") || return 1
    plain "$value"
}

# Everything that is recognised on the device: `type/uuid`, or `type/none` without a UUID.
signatures() {
    seen=$(wipefs --no-act --noheadings --parsable --output TYPE,UUID "$dev") || return 1
    probed=$(blkid --probe --output export "$dev")
    case $? in
        0 | 2) ;;
        8) probed='TYPE=ambivalent' ;;
        *) return 1 ;;
    esac
    magic=$(dd if="$dev" bs=8 count=1 2>/dev/null | od -An -tx1 | tr -d ' \n') || return 1
    if [ ${#magic} -ne 16 ]; then return 1; fi
    {
        printf '%s\n' "$seen" | while IFS=, read -r kind uuid; do
            if [ -n "$kind" ] && [ "$kind" != PMBR ]; then printf '%s/%s\n' "$kind" "${uuid:-none}"; fi
        done
        kind= uuid= table= table_uuid=
        while IFS='=' read -r name value; do
            case $name in
                TYPE) kind=$value ;;
                UUID) uuid=$value ;;
                PTTYPE) table=$value ;;
                PTUUID) table_uuid=$value ;;
            esac
        done <<END
$probed
END
        if [ -n "$kind" ]; then printf '%s/%s\n' "$kind" "${uuid:-none}"; fi
        if [ -n "$table" ]; then printf '%s/%s\n' "$table" "${table_uuid:-none}"; fi
        # "SBD_SBD_", which libblkid does not know.
        if [ "$magic" = 5342445f5342445f ]; then echo sbd/none; fi
    } | sort -u
}

# The types alone, and the UUIDs where there are any: one tool may know the UUID that another does not.
types() { printf '%s\n' "$1" | sed -n 's|/.*||p' | grep -v -x PMBR | sort -u; }
uuids() { printf '%s\n' "$1" | grep / | grep -v '/none$' | tr 'A-Z' 'a-z' | sort -u; }
same() { [ "$(types "$1")" = "$(types "$2")" ] && [ "$(uuids "$1")" = "$(uuids "$2")" ]; }

exclusive() {
    if command -v perl >/dev/null; then
        perl -e 'use Fcntl; sysopen(my $f, $ARGV[0], O_RDONLY | O_NONBLOCK | O_EXCL) or die "$!\n"' "$dev"
    elif command -v python3 >/dev/null; then
        python3 -c 'import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK | os.O_EXCL)' "$dev"
    else
        echo 'neither perl nor python3 is there to open it with O_EXCL' >&2
        return 1
    fi
}

dev=$(readlink -e -- "$path") || stop "$path is gone"
[ -b "$dev" ] || stop "$path is no block device"
kernel_name=$(lsblk --nodeps --noheadings --output KNAME "$dev" | tr -d ' ')
sys=/sys/class/block/$kernel_name
[ -n "$kernel_name" ] && [ -e "$sys" ] || stop "$dev is not known to the kernel as $kernel_name"

case $by in
    wwn)
        seen=$(column WWN) || stop "the world wide name of $dev could not be read"
        if [ "$seen" != "$(plain "$identity")" ]; then
            # A multipath map has it in the names of its links only.
            bare=$(printf '%s' "$identity" | sed 's/^0x//; s/^naa\.//')
            found=
            for link in /dev/disk/by-id/*"$bare"; do
                if [ -e "$link" ] && [ "$(readlink -e -- "$link")" = "$dev" ]; then found=$link; fi
            done
            [ -z "$seen" ] && [ -n "$found" ] || stop "$path is another device now: its world wide name is ${seen:-not told}, not $identity"
        fi
        ;;
    serial)
        seen=$(column SERIAL) || stop "the serial number of $dev could not be read"
        [ "$seen" = "$(plain "$identity")" ] || stop "$path is another device now: its serial number is ${seen:-not told}, not $identity"
        if [ -n "$model" ]; then
            seen=$(column MODEL) || stop "the model of $dev could not be read"
            [ "$seen" = "$(plain "$model")" ] || stop "$path is another device now: its model is ${seen:-not told}, not $model"
        fi
        ;;
    path)
        [ "$(readlink -e -- "$identity")" = "$dev" ] || stop "$identity is not $dev any more"
        ;;
    unstable)
        # The inventory accepts that the name may move: its size and what is on it are all that can be looked at.
        ;;
    *) stop "an identity of kind $by is not known" ;;
esac

seen=$(blockdev --getsize64 "$dev") || stop "the size of $dev could not be read"
[ "$seen" = "$size" ] || stop "$path has $seen bytes now, not $size"
[ "$(blockdev --getro "$dev")" = 0 ] || stop "$path is read-only"
holders=$(ls "$sys/holders") || stop "what lies on $dev could not be read"
[ -z "$holders" ] || stop "$path is in use now by $holders"
for part in "$sys"/*/partition; do
    if [ -e "$part" ]; then stop "$path has partitions now"; fi
done
reason=$(exclusive 2>&1) || stop "$path is in use now: $reason"
seen=$(signatures) || stop "what is on $path could not be learned"
same "$seen" "$holds" || stop "$path holds $(echo ${seen:-nothing}) now, not $(echo ${holds:-nothing})"
