# How all volumes are: their names, and the kernel's own report.
version=
if [ -r /sys/module/drbd/version ]; then read -r version </sys/module/drbd/version; fi
if [ -n "$version" ]; then
    echo "module $version"
    # A link with the resource's name; with several volumes, a folder of that name with a link for each.
    for link in /dev/drbd/by-res/* /dev/drbd/by-res/*/*; do
        dev=$(readlink -e -- "$link") || continue
        name=${link#/dev/drbd/by-res/}
        if [ -b "$dev" ]; then echo "name ${dev##*/drbd} ${name%%/*}"; fi
    done
    case $version in
        8.*) sed 's/^/proc /' /proc/drbd || exit 1 ;;
        *) within 5 drbdsetup status --json >/dev/null 2>&1 && within 5 drbdsetup status --json | sed 's/^/json /' ;;
    esac
fi
# Those of hactl's own engine: each process tells of its own. One that was killed has left its socket, and says nothing.
replica=/usr/local/sbin/hactl-replica
for socket in /run/hactl/replica/*/control; do
    if [ -S "$socket" ]; then
        name=${socket%/control}
        told=$(within 5 "$replica" status --json "${name##*/}" 2>/dev/null) && printf 'replica %s\n' "$(printf '%s' "$told" | tr '\n' ' ')"
    fi
done
:
