//! Something to be written.

/// Bytes for a place on the backing device. Offsets and lengths are in bytes, multiples of 4096.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// These bytes.
    Data {
        /// Where, from the beginning of the device.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Nothing but zeroes.
    Zeroes {
        /// Where, from the beginning of the device.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
}

impl Write {
    /// Where it goes, from the beginning of the device.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Data { offset, .. } | Self::Zeroes { offset, .. } => *offset,
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn length(&self) -> u64 {
        match self {
            // A vector is never longer than isize::MAX.
            Self::Data { bytes, .. } => bytes.len() as u64,
            Self::Zeroes { length, .. } => *length,
        }
    }

    /// Writes it to a device held in memory. What would lie beyond its end is left out.
    pub fn apply(&self, device: &mut [u8]) {
        let Ok(start) = usize::try_from(self.offset()) else { return };
        let end = usize::try_from(self.offset() + self.length()).unwrap_or(usize::MAX).min(device.len());
        let Some(place) = device.get_mut(start..end) else { return };
        match self {
            Self::Data { bytes, .. } => place.copy_from_slice(&bytes[..place.len()]),
            Self::Zeroes { .. } => place.fill(0),
        }
    }
}
