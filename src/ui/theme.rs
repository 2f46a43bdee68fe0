//! Whether there are colours and moving lines, and what each colour means.
//!
//! In: the `--color` flag and what the process finds around it. Out: a [`Theme`] per stream. Never writes.

use std::io::IsTerminal as _;

use console::{Style, StyledObject};

/// The value of `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// Where a terminal shows them.
    #[default]
    Auto,
    /// Also into a pipe or a file.
    Always,
    /// Not at all.
    Never,
}

/// What the process finds around it, as far as it matters for what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// stdout is a terminal.
    pub stdout_terminal: bool,
    /// stderr is a terminal.
    pub stderr_terminal: bool,
    /// A person (`NO_COLOR`, see no-color.org), a pipeline (`CI`) or the terminal (`TERM=dumb`) wants plain text.
    pub plain: bool,
}

impl Surroundings {
    /// Looks at the streams and the environment of this process.
    #[must_use]
    pub fn detect() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            stdout_terminal: std::io::stdout().is_terminal(),
            stderr_terminal: std::io::stderr().is_terminal(),
            plain: set("NO_COLOR") || set("CI") || dumb,
        }
    }

    /// How stdout is styled.
    #[must_use]
    pub fn stdout(self, choice: ColorChoice) -> Theme {
        Theme::new(self.colours(choice, self.stdout_terminal))
    }

    /// How stderr is styled.
    #[must_use]
    pub fn stderr(self, choice: ColorChoice) -> Theme {
        Theme::new(self.colours(choice, self.stderr_terminal))
    }

    /// Whether lines may move. `--color always` does not make them: it only colours.
    #[must_use]
    pub fn animated(self) -> bool {
        self.stdout_terminal && self.stderr_terminal && !self.plain
    }

    fn colours(self, choice: ColorChoice, terminal: bool) -> bool {
        match choice {
            ColorChoice::Auto => terminal && !self.plain,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// The colours of one stream, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    colours: bool,
}

impl Theme {
    /// A theme with colours or without.
    #[must_use]
    pub const fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// Whether there are colours.
    #[must_use]
    pub const fn colours(self) -> bool {
        self.colours
    }

    fn style(self) -> Style {
        Style::new().force_styling(self.colours)
    }

    /// Something new, or in order.
    pub fn good<D>(self, text: D) -> StyledObject<D> {
        self.style().green().apply_to(text)
    }

    /// Something that changes, or deserves a look.
    pub fn warning<D>(self, text: D) -> StyledObject<D> {
        self.style().yellow().apply_to(text)
    }

    /// Something that goes, or went wrong.
    pub fn bad<D>(self, text: D) -> StyledObject<D> {
        self.style().red().apply_to(text)
    }

    /// Something that went wrong and must not be overlooked.
    pub fn alarm<D>(self, text: D) -> StyledObject<D> {
        self.style().red().bold().apply_to(text)
    }

    /// A heading.
    pub fn heading<D>(self, text: D) -> StyledObject<D> {
        self.style().bold().apply_to(text)
    }

    /// Something that matters less.
    pub fn faint<D>(self, text: D) -> StyledObject<D> {
        self.style().dim().apply_to(text)
    }

    /// A place in a text: the header of a hunk.
    pub fn place<D>(self, text: D) -> StyledObject<D> {
        self.style().cyan().apply_to(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Surroundings =
        Surroundings { stdout_terminal: true, stderr_terminal: true, plain: false };

    #[test]
    fn a_terminal_gets_colours_and_moving_lines() {
        assert!(TERMINAL.stdout(ColorChoice::Auto).colours());
        assert!(TERMINAL.animated());
    }

    #[test]
    fn a_pipe_gets_neither() {
        let piped = Surroundings { stdout_terminal: false, ..TERMINAL };
        assert!(!piped.stdout(ColorChoice::Auto).colours());
        assert!(piped.stderr(ColorChoice::Auto).colours(), "stderr is still a terminal");
        assert!(!piped.animated());
    }

    #[test]
    fn no_color_ci_and_dumb_terminals_get_plain_lines() {
        let plain = Surroundings { plain: true, ..TERMINAL };
        assert!(!plain.stdout(ColorChoice::Auto).colours());
        assert!(!plain.animated());
    }

    #[test]
    fn the_flag_outweighs_the_environment() {
        let piped = Surroundings { stdout_terminal: false, stderr_terminal: false, plain: true };
        assert!(piped.stdout(ColorChoice::Always).colours());
        assert!(!piped.animated(), "colour on request is no reason to move lines in a log file");
        assert!(!TERMINAL.stdout(ColorChoice::Never).colours());
    }

    #[test]
    fn without_colours_a_text_is_itself() {
        assert_eq!(Theme::new(false).alarm("x").to_string(), "x");
        assert_eq!(Theme::new(true).good("x").to_string(), "\u{1b}[32mx\u{1b}[0m");
    }
}
