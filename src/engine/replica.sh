# A volume of hactl's own engine, by the program that the barclamp put on the node.
replica=/usr/local/sbin/hactl-replica
unit=hactl-replica@$name.service

role() { "$replica" role "$name"; }
connection() { "$replica" cstate "$name"; }
disks() { "$replica" dstate "$name"; }

# The current generation of the data here.
generation() {
    gi=$("$replica" get-gi "$name") || return 1
    printf '%s\n' "${gi%%:*}"
}

under() { "$replica" sh-ll-dev "$name"; }

# The device is there while the volume is Primary.
locate() { dev=/dev/hactl/by-res/$name; }

create_metadata() { "$replica" create-md "$name" </dev/null; }
bring_up() {
    systemctl start "$unit" || return 1
    "$replica" up "$name"
}
# The file is read when the process starts. A Secondary can do without it for a moment; what runs on a Primary has the cluster
# stop and start both sides: a run that is killed meanwhile leaves them stopped by their `target-role`, which is not in the
# inventory, so that the next run starts them.
adjust() {
    case $(role) in
        Primary) crm_resource --restart --resource "$name-clone" --timeout=150s ;;
        *) systemctl restart "$unit" && "$replica" up "$name" ;;
    esac
}
promote() { "$replica" primary "$name"; }
promote_new() { "$replica" primary --force "$name"; }
count_as_equal() { "$replica" new-current-uuid --clear-bitmap "$name"; }
demote() { "$replica" secondary "$name"; }
grow() { "$replica" resize "$name"; }
disconnect() { "$replica" disconnect "$name"; }
connect() { "$replica" connect "$name"; }
connect_discarding() { "$replica" connect --discard-my-data "$name"; }
