# What looks at a device node in $dev, used immediately before it is written to.
LC_ALL=C
export LC_ALL

stop() {
    printf 'hactl-guard: %s\n' "$*" >&2
    exit 79
}

# The device is held open: who holds it is asked for, and told with what failed.
held() { printf 'hactl-held: %s\n' "$dev"; }

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
