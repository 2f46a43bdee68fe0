//! The small values an inventory is made of: addresses, sizes, durations, scores, resource ids.
//!
//! In: text a person wrote. Out: types that can only hold a valid value. Never looks at files or nodes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Longest host name in bytes (RFC 1123).
pub const MAX_HOST_NAME_BYTES: usize = 253;
/// Longest label of a host name in bytes (RFC 1035).
pub const MAX_HOST_LABEL_BYTES: usize = 63;
/// Longest id of a resource or constraint in bytes: a limit of ours, ids end up in file names and logs.
pub const MAX_RESOURCE_ID_BYTES: usize = 128;
/// Longest duration that is believed: a year. Longer ones are mistyped units.
pub const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);
/// Pacemaker's infinity as a number: scores at or beyond it are infinite.
pub const SCORE_INFINITY: i32 = 1_000_000;

/// Why a text is not the value that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}: {why}")]
pub struct ValueError {
    /// What was wanted, with its article ("a duration").
    pub wanted: &'static str,
    /// The offending text.
    pub text: String,
    /// The rule it breaks, or an example of what is right.
    pub why: &'static str,
}

impl ValueError {
    fn new(wanted: &'static str, text: &str, why: &'static str) -> Self {
        Self { wanted, text: text.to_owned(), why }
    }
}

/// A host name (RFC 1123): labels of letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HostName(String);

impl HostName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let fail = |why| Err(ValueError::new("a host name", text, why));
        if text.is_empty() {
            return fail("it is empty");
        }
        if text.len() > MAX_HOST_NAME_BYTES {
            return fail("it is longer than 253 bytes");
        }
        for label in text.split('.') {
            if label.is_empty() {
                return fail("it has an empty label");
            }
            if label.len() > MAX_HOST_LABEL_BYTES {
                return fail("one of its labels is longer than 63 bytes");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return fail("a label begins or ends with `-`");
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                return fail("only letters, digits, `-` and `.` are allowed");
            }
        }
        if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return fail("its last label is a number, as in a mistyped IP address");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where a node is reached: an IP address or a host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A name to look up.
    Name(HostName),
}

impl Address {
    /// The IP address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        if text.contains(':') {
            return Err(ValueError::new(
                "an address",
                text,
                "write the address only; a port goes into `port`",
            ));
        }
        if text.contains('/') {
            return Err(ValueError::new(
                "an address",
                text,
                "write the address only, without a prefix length",
            ));
        }
        text.parse().map(Self::Name).map_err(|error: ValueError| ValueError { wanted: "an address", ..error })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        const WHY: &str = "write a whole number and a unit: `512MiB`, `20GiB`, `1TB`";
        let fail = || ValueError::new("a size", text, WHY);
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| fail())?;
        let factor: u64 = match unit.trim_start() {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "PiB" => 1 << 50,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "PB" => 1_000_000_000_000_000,
            _ => return Err(fail()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| ValueError::new("a size", text, "it is too large"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units =
            [(1_u64 << 50, "PiB"), (1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (factor, unit) in units {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A comparison with a size, for example `>= 20GiB`; a size alone means equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct SizeMatch {
    /// How a device's size is compared with `size`.
    pub comparison: Comparison,
    /// The size.
    pub size: ByteSize,
}

impl SizeMatch {
    /// Whether a device of this size is meant.
    #[must_use]
    pub fn matches(&self, device: ByteSize) -> bool {
        match self.comparison {
            Comparison::Equal => device == self.size,
            Comparison::AtLeast => device >= self.size,
            Comparison::AtMost => device <= self.size,
            Comparison::More => device > self.size,
            Comparison::Less => device < self.size,
        }
    }
}

/// How two sizes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `<`
    Less,
}

impl FromStr for SizeMatch {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let trimmed = text.trim();
        let operators = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            (">", Comparison::More),
            ("<", Comparison::Less),
            ("=", Comparison::Equal),
        ];
        for (operator, comparison) in operators {
            if let Some(size) = trimmed.strip_prefix(operator) {
                return Ok(Self { comparison, size: size.parse()? });
            }
        }
        Ok(Self { comparison: Comparison::Equal, size: trimmed.parse()? })
    }
}

impl fmt::Display for SizeMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.comparison {
            Comparison::Equal => "=",
            Comparison::AtLeast => ">=",
            Comparison::AtMost => "<=",
            Comparison::More => ">",
            Comparison::Less => "<",
        };
        write!(f, "{operator} {}", self.size)
    }
}

/// Parses a duration as Pacemaker writes it: `10s`, `500ms`, `2min`, `1h`, `1d`; a bare number is seconds.
///
/// # Errors
/// The text is not a whole number with one of these units, or is longer than [`MAX_DURATION`].
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    const WHY: &str = "write a whole number and a unit: `500ms`, `10s`, `2min`, `1h`";
    let fail = || ValueError::new("a duration", text, WHY);
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| fail())?;
    let factor_ms: u64 = match unit.trim_start() {
        "ms" | "msec" => 1,
        "" | "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(fail()),
    };
    let duration = number.checked_mul(factor_ms).map(Duration::from_millis);
    match duration {
        Some(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err(ValueError::new("a duration", text, "it is longer than a year")),
    }
}

/// A duration as Pacemaker reads it: whole seconds (`10s`), or milliseconds (`1500ms`).
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// A Pacemaker score: how much something is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Score {
    /// `-INFINITY`: never.
    MinusInfinity,
    /// A preference between -999999 and 999999.
    Value(i32),
    /// `INFINITY`: always.
    Infinity,
}

impl FromStr for Score {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "INFINITY" | "+INFINITY" => return Ok(Self::Infinity),
            "-INFINITY" => return Ok(Self::MinusInfinity),
            _ => {}
        }
        let why = "write INFINITY, -INFINITY or a whole number between -1000000 and 1000000";
        let value: i32 = text.parse().map_err(|_| ValueError::new("a score", text, why))?;
        match value {
            SCORE_INFINITY => Ok(Self::Infinity),
            value if value == -SCORE_INFINITY => Ok(Self::MinusInfinity),
            value if value.abs() < SCORE_INFINITY => Ok(Self::Value(value)),
            _ => Err(ValueError::new("a score", text, why)),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinusInfinity => f.pad("-INFINITY"),
            Self::Value(value) => value.fmt(f),
            Self::Infinity => f.pad("INFINITY"),
        }
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The id of a resource or constraint in the CIB: an XML NCName of plain ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ResourceId(String);

impl ResourceId {
    /// Parses an id.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, ValueError> {
        let text = text.into();
        let fail = |why| Err(ValueError::new("an id", &text, why));
        if text.is_empty() {
            return fail("it is empty");
        }
        if text.len() > MAX_RESOURCE_ID_BYTES {
            return fail("it is longer than 128 bytes");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return fail("it must begin with a letter or `_` (it becomes an XML id)");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return fail("only letters, digits, `-`, `_` and `.` are allowed");
        }
        Ok(Self(text))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourceId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::new(text)
    }
}

impl AsRef<str> for ResourceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ResourceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
