# A volume of the kernel's DRBD: its tools, without their force flags but where nothing can be lost.
role() { drbdadm role "$name" | sed 's|/.*||'; }
connection() { drbdadm cstate "$name"; }
disks() { drbdadm dstate "$name"; }

# The current generation of the data here.
generation() {
    case $(cat /sys/module/drbd/version) in
        8.*) gi=$(drbdsetup get-gi "$minor") || return 1 ;;
        *) gi=$(drbdadm get-gi "$name") || return 1 ;;
    esac
    printf '%s\n' "${gi%%:*}"
}

under() { drbdadm sh-ll-dev "$name"; }

locate() {
    dev=/dev/drbd$minor
    said=$(drbdadm sh-dev "$name") || { echo "drbdadm does not know $name" >&2; exit 1; }
    [ "$said" = "$dev" ] || stop "$name is $said in DRBD's configuration, not $dev"
}

# drbdmeta(8) asks when it finds anything; the end of its input is a no.
create_metadata() { drbdadm create-md "$name" </dev/null; }
# `adjust` does what `up` does, and also when a part of it was done before.
bring_up() { drbdadm adjust "$name" </dev/null; }
adjust() { bring_up; }
promote() { drbdadm primary "$name"; }
promote_new() { drbdadm primary --force "$name"; }
count_as_equal() { drbdadm new-current-uuid --clear-bitmap "$name/0"; }
demote() { drbdadm secondary "$name"; }
grow() { drbdadm resize "$name" </dev/null; }
disconnect() { drbdadm disconnect "$name"; }
connect() { drbdadm connect "$name"; }
connect_discarding() { drbdadm connect --discard-my-data "$name"; }
