# One volume of hactl's own engine; `$volume` and `$disk` are set, `holders` is there.
dev=/dev/hactl/by-res/$volume
file=/etc/hactl/replica/$volume.yml
control=/run/hactl/replica/$volume/control
if [ -x "$replica" ] && [ -e "$file" ]; then
    gi=$(within 5 "$replica" get-gi "$volume" 2>/dev/null) && echo "gi $gi"
    # A process reads its file when it starts, and is of the program that was there then.
    for newer in "$file" "$replica"; do
        if [ -S "$control" ] && [ "$newer" -nt "$control" ]; then echo "adjust restart ($newer is newer)"; fi
    done
fi
if [ -e "$disk" ]; then
    bytes=$(blockdev --getsize64 "$disk") || exit 1
    echo "disk $bytes"
    head=$(dd if="$disk" iflag=direct bs=4096 count=1 status=none | od -An -v -tx1 | tr -d ' \n') || exit 1
    echo "head $head"
fi
if [ -b "$dev" ]; then holders "$dev" | sed 's/^/user /'; fi
:
