# Looks at a replicated volume immediately before something is done to it, in the command that does it: what follows this
# text runs only when the volume is the one that is meant, with its device node in $dev and its own arguments in $@. Before
# it stand the engine's functions; $name, $minor and $path (of the claimed device) are set.

# The current generation without the bit that says who was Primary.
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

locate
seen=$(under) || exit 1
real=$(readlink -e -- "$path") || stop "$path is gone"
[ "$(readlink -e -- "$seen")" = "$real" ] || stop "$name lies on $seen in its configuration, not on $path"
