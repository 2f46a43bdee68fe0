//! The one place where an argument vector becomes text for a shell.
//!
//! In: an argument vector. Out: a line which a POSIX shell splits back into exactly that vector.
//! Never interprets an argument, never adds one.

/// Why an argument vector cannot be given to a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// There is no program to run.
    #[error("the command is empty")]
    Empty,
    /// An argument contains a NUL byte, which no argument of a process can hold.
    #[error("argument {index} of the command contains a NUL byte")]
    Nul {
        /// Which argument, counted from 0 (the program).
        index: usize,
    },
}

/// Quotes an argument vector for a POSIX shell.
///
/// The program's name is always quoted: a quoted word is never taken for a reserved word (`if`, `!`) or
/// an assignment (`A=b`), nor looked up among the aliases (POSIX.1-2017, XCU 2.3.1, 2.4, 2.9.1).
///
/// # Errors
/// The vector is empty, or an argument contains a NUL byte.
pub fn quote<S: AsRef<str>>(argv: &[S]) -> Result<String, QuoteError> {
    if argv.is_empty() {
        return Err(QuoteError::Empty);
    }
    let mut line = String::new();
    for (index, argument) in argv.iter().map(AsRef::as_ref).enumerate() {
        if argument.contains('\0') {
            return Err(QuoteError::Nul { index });
        }
        if index > 0 {
            line.push(' ');
        }
        if index > 0 && is_plain(argument) {
            line.push_str(argument);
        } else {
            push_quoted(&mut line, argument);
        }
    }
    Ok(line)
}

/// Whether a shell reads these characters as themselves wherever they stand in an argument.
fn is_plain(argument: &str) -> bool {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '%' | '+' | ':' | ',' | '.' | '/' | '-')
    };
    !argument.is_empty() && argument.chars().all(plain)
}

fn push_quoted(line: &mut String, argument: &str) {
    line.push('\'');
    for c in argument.chars() {
        if c == '\'' {
            line.push_str(r"'\''");
        } else {
            line.push(c);
        }
    }
    line.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a real shell makes of a line: its words, each ended by a NUL.
    fn split_by_shell(shell: &str, line: &str) -> Vec<String> {
        let script = format!("show() {{ printf '%s\\0' \"$@\"; }}; show {line}");
        let output = std::process::Command::new(shell).arg("-c").arg(script).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let mut words: Vec<String> =
            String::from_utf8(output.stdout).unwrap().split('\0').map(str::to_owned).collect();
        assert_eq!(words.pop().as_deref(), Some(""));
        words
    }

    #[test]
    fn leaves_what_needs_no_quotes_readable() {
        assert_eq!(quote(&["lsblk", "--json", "-o", "NAME,SIZE"]).unwrap(), "'lsblk' --json -o NAME,SIZE");
    }

    #[test]
    fn a_reserved_word_or_an_assignment_is_still_a_program() {
        for program in ["if", "!", "{", "A=b", "while"] {
            let line = quote(&[program, "x"]).unwrap();
            let output = std::process::Command::new("sh").arg("-c").arg(&line).output().unwrap();
            assert_eq!(output.status.code(), Some(127), "{line}");
        }
    }

    #[test]
    fn refuses_what_no_process_can_be_given() {
        assert_eq!(quote::<&str>(&[]), Err(QuoteError::Empty));
        assert_eq!(quote(&["a", "b\0c"]), Err(QuoteError::Nul { index: 1 }));
    }

    #[test]
    fn arguments_that_people_trip_over() {
        let nasty = [
            "", " ", "'", "''", "\"", "\\", "$HOME", "`id`", "a\nb", "~", "*", "#x", "-n", "a;b", "é", "!x",
            "\t", "a'b'c",
        ];
        for shell in ["sh", "bash"] {
            assert_eq!(split_by_shell(shell, &quote(&nasty).unwrap()), nasty);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_shell_gives_back_the_vector(argv in prop::collection::vec("[^\0]{0,12}", 1..12)) {
            prop_assert_eq!(split_by_shell("sh", &quote(&argv).unwrap()), argv);
        }
    }
}
