//! Guesses what was meant: the known word closest to an unknown one.
//!
//! In: a word and the words that would be right. Out: one of them, or none. Pure.

/// The candidate closest to `word`, if any is close enough to be a likely slip.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Words longer than this are not compared: no key or name of ours is that long, and the comparison is quadratic.
    const MAX_CHARS: usize = 64;
    let normal = |text: &str| -> Vec<char> {
        text.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).take(MAX_CHARS).collect()
    };
    let word = normal(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = normal(candidate);
        let shorter = word.len().min(other.len());
        let is_prefix = shorter >= 3 && word[..shorter] == other[..shorter];
        let distance = if is_prefix { 1 } else { distance(&word, &other) };
        let allowed = match word.len().max(other.len()) {
            0..=2 => 0,
            3..=5 => 1,
            6..=9 => 2,
            _ => 3,
        };
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: insertions, deletions, replacements, swapped neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0_usize; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[(i - 1) * width + j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = replace.min(rows[(i - 1) * width + j] + 1).min(rows[i * width + j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[(i - 2) * width + j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len() * width + b.len()]
}

/// The words as a list for a sentence: `a`, `b` and `c`.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slip() {
        let keys = ["address", "links", "roles", "claim_policy", "ssh", "port"];
        for (word, expected) in [
            ("adress", Some("address")),
            ("adderss", Some("address")),
            ("claim-policy", Some("claim_policy")),
            ("link", Some("links")),
            ("Address", Some("address")),
            ("addr", Some("address")),
            ("prot", Some("port")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(closest(word, keys), expected, "{word}");
        }
    }
}
