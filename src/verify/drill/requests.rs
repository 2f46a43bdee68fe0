//! What clients of a virtual address saw. Pure.

use std::time::Duration;

/// One request; times count from the beginning of the drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// When it was sent.
    pub sent: Duration,
    /// When it was answered, or given up.
    pub ended: Duration,
    /// Whether it was answered as the check wants it.
    pub answered: bool,
}

/// The longest time without an answer, from the last answer before it to the first one after; zero when every request
/// was answered. `None` when there is no answer before, or none after, a request that failed.
#[must_use]
pub fn outage(requests: &[Request]) -> Option<Duration> {
    let mut requests = requests.to_vec();
    requests.sort_by_key(|request| (request.sent, request.ended));
    let mut longest = Duration::ZERO;
    let mut last_answer: Option<Duration> = None;
    let mut failing = false;
    for request in &requests {
        if !request.answered {
            failing = true;
            continue;
        }
        if failing {
            longest = longest.max(request.ended.saturating_sub(last_answer?));
            failing = false;
        }
        last_answer = Some(last_answer.map_or(request.ended, |last| last.max(request.ended)));
    }
    (!failing).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sent: u64, took: u64, answered: bool) -> Request {
        let sent = Duration::from_millis(sent);
        Request { sent, ended: sent + Duration::from_millis(took), answered }
    }

    #[test]
    fn the_outage_is_from_answer_to_answer() {
        let requests = [
            request(0, 5, true),
            request(100, 5, true),
            request(200, 1000, false),
            request(300, 1000, false),
            request(1300, 20, true),
        ];
        assert_eq!(outage(&requests), Some(Duration::from_millis(1215)));
    }

    #[test]
    fn nothing_lost_is_no_outage_and_one_without_an_end_is_not_measured() {
        assert_eq!(outage(&[request(0, 5, true)]), Some(Duration::ZERO));
        assert_eq!(outage(&[request(0, 5, true), request(100, 5, false)]), None);
        assert_eq!(outage(&[request(0, 5, false), request(100, 5, true)]), None);
    }

    #[test]
    fn the_longest_of_several_counts() {
        let requests = [
            request(0, 0, true),
            request(100, 0, false),
            request(200, 0, true),
            request(300, 0, false),
            request(900, 0, true),
        ];
        assert_eq!(outage(&requests), Some(Duration::from_millis(700)));
    }
}
