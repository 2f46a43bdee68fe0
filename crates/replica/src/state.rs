//! The states of a volume, by DRBD's names exactly: role, connection, replication, disk.
//!
//! Each has a stable code for the wire and a name for people; nothing here decides.

/// Defines an enum of states with the field's names and stable codes for the wire.
macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code on the wire.
            #[must_use]
            pub fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }

            /// The state with this code on the wire, if there is one.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The name as DRBD's tools print it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

states! {
    /// What a node may do with the volume.
    Role {
        /// Not known (an unconnected peer).
        Unknown = 0,
        /// May be read and written here.
        Primary = 1,
        /// Receives what the Primary writes.
        Secondary = 2,
    }
}

states! {
    /// How far the connection to a peer has come.
    ConnectionState {
        /// Not wanted: no attempt is made.
        StandAlone = 0,
        /// On the way to StandAlone.
        Disconnecting = 1,
        /// Between two attempts.
        Unconnected = 2,
        /// Lost: the peer did not answer in time.
        Timeout = 3,
        /// Lost: the stream broke.
        BrokenPipe = 4,
        /// Lost: the network reported an error.
        NetworkFailure = 5,
        /// Lost: the peer said something it must not.
        ProtocolError = 6,
        /// The peer closes the connection in good order.
        TearDown = 7,
        /// Wanted, not yet there.
        Connecting = 8,
        /// There.
        Connected = 9,
    }
}

states! {
    /// What goes on between the two disks of a connection.
    ReplicationState {
        /// Not connected, or one side has no disk.
        Off = 0,
        /// Both disks follow every write.
        Established = 1,
        /// A full synchronisation from here begins by order.
        StartingSyncS = 2,
        /// A full synchronisation to here begins by order.
        StartingSyncT = 3,
        /// Source of a synchronisation, waiting for the target's bitmap.
        WFBitMapS = 4,
        /// Target of a synchronisation, waiting for the source's bitmap.
        WFBitMapT = 5,
        /// Target of a synchronisation, waiting for its generation.
        WFSyncUUID = 6,
        /// Synchronisation runs, from here.
        SyncSource = 7,
        /// Synchronisation runs, to here.
        SyncTarget = 8,
        /// Online verification runs, from here.
        VerifyS = 9,
        /// Online verification runs, asked for by the peer.
        VerifyT = 10,
        /// Source of a synchronisation that waits.
        PausedSyncS = 11,
        /// Target of a synchronisation that waits.
        PausedSyncT = 12,
        /// Ahead of a congested peer.
        Ahead = 13,
        /// Behind, because of congestion.
        Behind = 14,
    }
}

states! {
    /// What a node's disk is worth.
    DiskState {
        /// There is none.
        Diskless = 0,
        /// Its metadata is being read.
        Attaching = 1,
        /// It is being given up.
        Detaching = 2,
        /// It reported an error.
        Failed = 3,
        /// Attached, its worth to be settled with the peer.
        Negotiating = 4,
        /// A mixture of old and new.
        Inconsistent = 5,
        /// Whole, but a newer generation is known to exist.
        Outdated = 6,
        /// Not known (an unconnected peer).
        DUnknown = 7,
        /// Whole; whether it is the newest is known once a peer is met.
        Consistent = 8,
        /// Whole and the newest.
        UpToDate = 9,
    }
}

impl DiskState {
    /// Whether it holds data at all, of whatever worth.
    #[must_use]
    pub fn has_data(self) -> bool {
        matches!(self, Self::Inconsistent | Self::Outdated | Self::Consistent | Self::UpToDate)
    }

    /// Whether it is a whole image of some moment.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Outdated | Self::Consistent | Self::UpToDate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_those_of_the_field() {
        for state in DiskState::ALL {
            assert_eq!(DiskState::from_code(state.code()), Some(*state));
        }
        for state in ReplicationState::ALL {
            assert_eq!(ReplicationState::from_code(state.code()), Some(*state));
        }
        assert_eq!(DiskState::from_code(200), None);
        assert_eq!(ReplicationState::WFBitMapS.to_string(), "WFBitMapS");
        assert_eq!(ConnectionState::StandAlone.to_string(), "StandAlone");
        assert_eq!(DiskState::DUnknown.to_string(), "DUnknown");
    }
}
