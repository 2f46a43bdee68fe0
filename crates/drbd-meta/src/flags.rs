//! The flags of a device and of a peer, as they lie in the superblock. Unknown bits are kept.

/// A set of flags.
macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($(#[$flag_doc:meta])* $flag:ident = $bit:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            $($(#[$flag_doc])* pub const $flag: Self = Self(1 << $bit);)*

            /// The flags with these bits.
            #[must_use]
            pub const fn from_bits(bits: u32) -> Self {
                Self(bits)
            }

            /// The bits.
            #[must_use]
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Whether all of `other` are set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// With all of `other` set.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// With none of `other` set.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }
    };
}

flags! {
    /// What is remembered of the device (`MDF_*`).
    DeviceFlags {
        /// The data is consistent.
        CONSISTENT = 0;
        /// The node was Primary, and is if it has not been stopped since.
        PRIMARY_IND = 1;
        /// The data was up to date when it was last known.
        WAS_UP_TO_DATE = 4;
        /// The node crashed as Primary, and no peer has been met since.
        CRASHED_PRIMARY = 6;
        /// The activity log holds nothing that would have to be applied.
        LOG_CLEAN = 7;
        /// The activity log is not used.
        LOG_DISABLED = 8;
        /// The node was Primary when it lost quorum.
        PRIMARY_LOST_QUORUM = 9;
        /// The node had quorum when it was last seen.
        HAVE_QUORUM = 10;
    }
}

flags! {
    /// What is remembered of a peer (`MDF_PEER_*`, `MDF_HAVE_BITMAP`, `MDF_NODE_EXISTS`).
    PeerFlags {
        /// The peer was connected.
        CONNECTED = 0;
        /// The peer's data was known to be outdated.
        OUTDATED = 1;
        /// Fencing of the peer was under way.
        FENCING = 2;
        /// The peer needs everything.
        FULL_SYNC = 3;
        /// The peer's device was seen.
        DEVICE_SEEN = 4;
        /// There is, or was, a node with this id.
        NODE_EXISTS = 16;
        /// The peer has a slot in the bitmap.
        HAVE_BITMAP = 31;
    }
}
