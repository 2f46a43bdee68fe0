//! Text in which awkward bytes stand as a backslash and three characters: `\x20` (udev, libblkid), `\040` (the kernel's
//! tables of mounts and swap, proc(5)).

/// How a byte is written after the backslash.
#[derive(Debug, Clone, Copy)]
pub(super) enum Escape {
    /// `x` and two hexadecimal digits.
    Hex,
    /// Three octal digits.
    Octal,
}

impl Escape {
    fn byte(self, code: &str) -> Option<u8> {
        match self {
            Self::Hex => u8::from_str_radix(code.strip_prefix('x')?, 16).ok(),
            Self::Octal => u8::from_str_radix(code, 8).ok(),
        }
    }

    /// The text that was meant. What is no escape stands for itself.
    pub(super) fn decode(self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let code = after.get(..3).and_then(|code| std::str::from_utf8(code).ok());
            match code.filter(|_| byte == b'\\').and_then(|code| self.byte(code)) {
                Some(code) => {
                    out.push(code);
                    rest = &after[3..];
                }
                None => {
                    out.push(byte);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Escape;

    #[test]
    fn escapes_of_either_kind_are_read() {
        assert_eq!(Escape::Hex.decode(r"my\x20disk\x2"), r"my disk\x2");
        assert_eq!(Escape::Octal.decode(r"/mnt/a\040b\09"), r"/mnt/a b\09");
        assert_eq!(Escape::Hex.decode(r"\xc3\xa9"), "é");
        assert_eq!(Escape::Octal.decode("\\"), "\\");
    }
}
