//! What the fence agent on a node and the fence device on the host say to each other.
//!
//! One TCP connection per action, three lines: the device greets with a nonce, the agent asks, the device answers.
//! Question and answer are sealed with HMAC-SHA256 over the nonce, so neither can be replayed or made up without
//! the secret. In and out: lines of text. No socket, no randomness.
//!
//! ```text
//! device  hactl-lab 1 NONCE
//! agent   ACTION PLUG SEAL          SEAL = HMAC(secret, "request NONCE ACTION PLUG")
//! device  ok|error TEXT SEAL        SEAL = HMAC(secret, "reply NONCE ACTION PLUG ok|error TEXT")
//! ```

use std::fmt::Write as _;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Longest line either side sends, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 4096;
/// Length of the nonce in bytes.
pub(crate) const NONCE_BYTES: usize = 16;
/// The seal of an answer to somebody who has not shown that he knows the secret.
const NO_SEAL: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What the device can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    On,
    Off,
    Reboot,
    Status,
    List,
}

impl FromStr for Action {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "on" => Self::On,
            "off" => Self::Off,
            "reboot" => Self::Reboot,
            "status" => Self::Status,
            "list" => Self::List,
            _ => return Err(()),
        })
    }
}

/// A question whose seal is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) plug: String,
    /// What the answer's seal covers besides the answer.
    asked: String,
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn greeting(nonce: &str) -> String {
    format!("hactl-lab 1 {nonce}\n")
}

/// Reads a question.
///
/// # Errors
/// Why it is refused; send it with [`refuse`].
pub(crate) fn parse_request(line: &str, nonce: &str, secret: &[u8]) -> Result<Request, &'static str> {
    let words: Vec<&str> = line.trim_end_matches(['\r', '\n']).split(' ').collect();
    let [action, plug, seal] = words[..] else { return Err("malformed request") };
    let asked = format!("{nonce} {action} {plug}");
    let given = unhex(seal).ok_or("malformed seal")?;
    let mac = mac(secret, &format!("request {asked}")).ok_or("no secret")?;
    mac.verify_slice(&given).map_err(|_| "not authenticated")?;
    let action = action.parse().map_err(|()| "unknown action")?;
    Ok(Request { action, plug: plug.to_owned(), asked })
}

/// The answer to a question.
pub(crate) fn reply(request: &Request, outcome: &Result<String, String>, secret: &[u8]) -> String {
    let (verdict, text) = match outcome {
        Ok(text) => ("ok", text),
        Err(text) => ("error", text),
    };
    let text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_LINE_BYTES / 8).collect();
    let seal = mac(secret, &format!("reply {} {verdict} {text}", request.asked))
        .map_or_else(|| NO_SEAL.to_owned(), |mac| hex(&mac.finalize().into_bytes()));
    format!("{verdict} {text} {seal}\n")
}

/// The answer to somebody who is not trusted.
pub(crate) fn refuse(reason: &str) -> String {
    format!("error {reason} {NO_SEAL}\n")
}

fn mac(secret: &[u8], text: &str) -> Option<Hmac<Sha256>> {
    // HMAC takes a key of any length; an error cannot happen and is answered as a refusal.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(text.as_bytes());
    Some(mac)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "00112233445566778899aabbccddeeff";

    fn ask(action: &str, plug: &str, nonce: &str, secret: &[u8]) -> String {
        let seal = mac(secret, &format!("request {nonce} {action} {plug}")).unwrap();
        format!("{action} {plug} {}\n", hex(&seal.finalize().into_bytes()))
    }

    #[test]
    fn a_sealed_question_is_understood() {
        let request = parse_request(&ask("reboot", "alpha", NONCE, b"s"), NONCE, b"s").unwrap();
        assert_eq!((request.action, request.plug.as_str()), (Action::Reboot, "alpha"));
        let answer = reply(&request, &Ok("alpha is off\nreally".to_owned()), b"s");
        assert!(answer.starts_with("ok alpha is off really "), "{answer}");
        assert!(answer.ends_with('\n') && answer.matches('\n').count() == 1);
    }

    #[test]
    fn a_replayed_changed_or_made_up_question_is_refused() {
        let good = ask("status", "alpha", NONCE, b"s");
        assert!(parse_request(&good, &NONCE.replace("00", "01"), b"s").is_err());
        assert!(parse_request(&good.replace("status", "reboot"), NONCE, b"s").is_err());
        assert!(parse_request(&good.replace("alpha", "beta"), NONCE, b"s").is_err());
        assert!(parse_request(&ask("off", "alpha", NONCE, b"other"), NONCE, b"s").is_err());
        for nonsense in ["", "off", "off alpha", "off alpha 00", &format!("off alpha {}", "ü".repeat(32))] {
            assert!(parse_request(nonsense, NONCE, b"s").is_err(), "{nonsense}");
        }
    }
}
