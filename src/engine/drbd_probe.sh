# One volume of DRBD; `$volume`, `$minor` and `$disk` are set, `holders` is there.
case $version in
    8.*) configured=$(grep -E "^ *$minor: cs:" /proc/drbd | grep -v cs:Unconfigured) ;;
    *) configured=$([ -n "$version" ] && [ -e "/sys/block/drbd$minor" ] && echo yes) ;;
esac
gi=
if command -v drbdadm >/dev/null; then
    if [ -n "$configured" ]; then
        case $version in
            8.*) gi=$(within 5 drbdsetup get-gi "$minor" 2>/dev/null) ;;
            *) gi=$(within 5 drbdadm get-gi "$volume" 2>/dev/null) ;;
        esac
    elif [ -e "$disk" ]; then
        # The metadata of 9 has a generation for each peer: drbdadm knows which one is meant.
        case $version in
            9.*) gi=$(within 5 drbdadm get-gi "$volume" 2>/dev/null) ;;
            *) gi=$(within 5 drbdmeta "$minor" v08 "$disk" internal get-gi 2>/dev/null) ;;
        esac
    fi
    # What is there to be done, without its arguments: they hold the secret.
    if [ -e "/etc/drbd.d/$volume.res" ]; then
        within 5 drbdadm --dry-run adjust "$volume" 2>/dev/null | awk '{ print "adjust", $1, $2 }'
    fi
fi
if [ -n "$gi" ]; then echo "gi $gi"; fi
if [ -e "$disk" ]; then
    bytes=$(blockdev --getsize64 "$disk") || exit 1
    echo "disk $bytes"
    head=$(dd if="$disk" iflag=direct bs=4096 count=1 status=none | od -An -v -tx1 | tr -d ' \n') || exit 1
    echo "head $head"
fi
if [ -r "/sys/block/drbd$minor/size" ]; then
    read -r sectors <"/sys/block/drbd$minor/size"
    echo "device $sectors"
    if [ -b "/dev/drbd$minor" ]; then holders "/dev/drbd$minor" | sed 's/^/user /'; fi
fi
:
