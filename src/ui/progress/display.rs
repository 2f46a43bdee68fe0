//! The displayer: puts the lines on stderr. Holds the only clock and the only thread of the progress.

use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{RunState, live_lines, plain_line};
use crate::apply::{Event, EventSink, Phase, StepResult};
use crate::ui::Theme;

/// How often the moving lines are drawn anew.
const REDRAW_INTERVAL: Duration = Duration::from_millis(120);
/// Most moving lines at once, whatever the terminal's height.
const MAX_LIVE_ROWS: usize = 20;
/// Rows of the terminal that are left to what was printed before.
const ROWS_LEFT_ALONE: usize = 4;
/// Height and width of a terminal that does not tell its own.
const DEFAULT_TERMINAL: (u16, u16) = (24, 80);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Not at all.
    Silent,
    /// One line per event.
    Plain,
    /// Lines that move.
    Live,
}

/// Shows events on stderr as they come in. Nothing of it remains on the terminal after [`Progress::finish`] but the
/// lines about failures, notes and (with `verbose`) finished steps.
pub struct Progress {
    inner: Arc<Mutex<Inner>>,
    manner: Manner,
}

struct Inner {
    state: RunState,
    begun: Instant,
    verbose: bool,
    theme: Theme,
    /// Whether the moving lines are off until the next stage.
    hidden: bool,
    live: Option<Live>,
}

struct Live {
    screen: MultiProgress,
    bars: Vec<ProgressBar>,
}

impl Progress {
    /// A progress that shows nothing yet.
    #[must_use]
    pub fn new(manner: Manner, verbose: bool, theme: Theme) -> Arc<Self> {
        let live = (manner == Manner::Live).then(|| Live {
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            bars: Vec::new(),
        });
        let inner =
            Inner { state: RunState::default(), begun: Instant::now(), verbose, theme, hidden: false, live };
        let inner = Arc::new(Mutex::new(inner));
        if manner == Manner::Live {
            let weak = Arc::downgrade(&inner);
            std::thread::spawn(move || redraw_until_gone(&weak));
        }
        Arc::new(Self { inner, manner })
    }

    /// How long it has been since the progress began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.lock().begun.elapsed()
    }

    /// Removes the moving lines: what comes next is printed on a clean terminal. They come back with the next stage.
    pub fn finish(&self) {
        let mut inner = self.lock();
        inner.hidden = true;
        inner.draw();
    }

    /// A line that stays, whatever is moving.
    pub fn say(&self, line: &str) {
        self.lock().print(line);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is behind the lock is only shown: a panic elsewhere does not make it unfit for that.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Progress {
    fn emit(&self, event: Event) {
        if self.manner == Manner::Silent {
            return;
        }
        let mut inner = self.lock();
        let now = inner.begun.elapsed();
        inner.state.take(&event, now);
        inner.hidden &= !matches!(event, Event::PhaseStarted { .. });
        if (self.manner == Manner::Plain || stays(&event, inner.verbose))
            && let Some(line) = plain_line(&event, inner.verbose, inner.theme)
        {
            inner.print(&line);
        }
        inner.draw();
    }
}

/// Whether a terminal with moving lines keeps a line about the event.
fn stays(event: &Event, verbose: bool) -> bool {
    match event {
        Event::NodeDone { problem, .. } => problem.is_some(),
        Event::StepFinished { result: StepResult::Failed(_), .. } | Event::Note { .. } => true,
        Event::StepFinished { .. } => verbose,
        Event::PhaseFinished { phase, .. } => verbose && *phase != Phase::Apply,
        Event::PhaseStarted { .. } | Event::StepStarted { .. } | Event::StepProgress { .. } => false,
    }
}

impl Inner {
    fn print(&self, line: &str) {
        // A stderr that is gone leaves nobody to tell about it.
        let _ = match &self.live {
            Some(live) => live.screen.suspend(|| writeln!(std::io::stderr(), "{line}")),
            None => writeln!(std::io::stderr(), "{line}"),
        };
    }

    fn draw(&mut self) {
        let now = self.begun.elapsed();
        let Some(live) = &mut self.live else { return };
        let idle = self.state.phase.is_none() && self.state.busy().is_empty();
        if self.hidden || idle {
            live.clear();
            return;
        }
        let (height, width) = console::Term::stderr().size_checked().unwrap_or(DEFAULT_TERMINAL);
        let rows = usize::from(height).saturating_sub(ROWS_LEFT_ALONE).clamp(1, MAX_LIVE_ROWS);
        let columns = usize::from(width).saturating_sub(1).max(1);
        live.show(&live_lines(&self.state, now, columns, rows, self.theme));
    }
}

impl Live {
    fn show(&mut self, lines: &[String]) {
        while self.bars.len() > lines.len() {
            if let Some(bar) = self.bars.pop() {
                bar.finish_and_clear();
                self.screen.remove(&bar);
            }
        }
        while self.bars.len() < lines.len() {
            let bar = self.screen.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.bars.push(bar);
        }
        for (bar, line) in self.bars.iter().zip(lines) {
            bar.set_message(line.clone());
        }
    }

    fn clear(&mut self) {
        self.show(&[]);
    }
}

fn redraw_until_gone(inner: &Weak<Mutex<Inner>>) {
    while let Some(inner) = inner.upgrade() {
        inner.lock().unwrap_or_else(PoisonError::into_inner).draw();
        drop(inner);
        std::thread::sleep(REDRAW_INTERVAL);
    }
}
