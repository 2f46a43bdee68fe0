# Looks at a volume of DRBD immediately before something is done to it, in the command that does it: what follows this text
# runs only when the volume is the one that is meant, with its device node in $dev and its own arguments in $@.
# Arguments: name, minor, path of the claimed device.
name=$1 minor=$2 path=$3
shift 3

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

# The same without the bit that says who was Primary.
plain_generation() {
    seen=$(generation) || return 1
    case $seen in
        *1) echo "${seen%?}0" ;; *3) echo "${seen%?}2" ;; *5) echo "${seen%?}4" ;; *7) echo "${seen%?}6" ;;
        *9) echo "${seen%?}8" ;; *B) echo "${seen%?}A" ;; *D) echo "${seen%?}C" ;; *F) echo "${seen%?}E" ;;
        *) echo "$seen" ;;
    esac
}

# Nobody has ever written to it, on neither side.
must_be_new() {
    [ "$(connection)" = Connected ] || stop "the sides of $name are not connected: $(connection)"
    [ "$(disks)" = Inconsistent/Inconsistent ] || stop "$name has data already: $(disks)"
    [ "$(generation)" = 0000000000000004 ] || stop "$name has data of generation $(generation)"
}

dev=/dev/drbd$minor
said=$(drbdadm sh-dev "$name") || { echo "drbdadm does not know $name" >&2; exit 1; }
[ "$said" = "$dev" ] || stop "$name is $said in DRBD's configuration, not $dev"
under=$(drbdadm sh-ll-dev "$name") || exit 1
real=$(readlink -e -- "$path") || stop "$path is gone"
[ "$(readlink -e -- "$under")" = "$real" ] || stop "$name lies on $under in DRBD's configuration, not on $path"
