# Looks at a block device immediately before it is written to, in the command that writes: what follows this text runs
# only when everything still holds, with the device node in $dev and its own arguments in $@.
# Arguments: path, kind of identity, identity, model, size in bytes, what it may hold (`type/uuid`, one per line).
path=$1 by=$2 identity=$3 model=$4 size=$5 holds=$6
shift 6

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
[ -z "$holders" ] || { held; stop "$path is in use now by $holders"; }
for part in "$sys"/*/partition; do
    if [ -e "$part" ]; then stop "$path has partitions now"; fi
done
reason=$(exclusive 2>&1) || { held; stop "$path is in use now: $reason"; }
seen=$(signatures) || stop "what is on $path could not be learned"
same "$seen" "$holds" || stop "$path holds $(echo ${seen:-nothing}) now, not $(echo ${holds:-nothing})"
