//! The status of a volume for people, laid out like `drbdadm status`.

use std::fmt::Write as _;

use serde_json::Value;

/// An error and what caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("Unknown")
}

/// The text.
pub(super) fn status(status: &Value) -> String {
    let mut text = format!("{} role:{}", word(status, "name"), word(status, "role"));
    let waits_for: Vec<&str> =
        status["suspended-for"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !waits_for.is_empty() {
        let _ = write!(text, " suspended:{}", waits_for.join(","));
    }
    text.push('\n');
    for device in status["devices"].as_array().into_iter().flatten() {
        let _ = write!(text, "  disk:{}", word(device, "disk-state"));
        if device["quorum"] == false {
            text.push_str(" quorum:no");
        }
        text.push('\n');
    }
    for connection in status["connections"].as_array().into_iter().flatten() {
        let _ = write!(text, "  {}", word(connection, "name"));
        if connection["connection-state"] == "Connected" {
            let _ = writeln!(text, " role:{}", word(connection, "peer-role"));
            for device in connection["peer_devices"].as_array().into_iter().flatten() {
                peer_device(&mut text, device);
            }
            continue;
        }
        let _ = write!(text, " connection:{}", word(connection, "connection-state"));
        if let Some(trouble) = connection["trouble"].as_str() {
            let _ = write!(text, " ({trouble})");
        }
        text.push('\n');
    }
    text
}

fn peer_device(text: &mut String, device: &Value) {
    text.push_str("    ");
    if device["replication-state"] != "Established" {
        let _ = write!(text, "replication:{} ", word(device, "replication-state"));
    }
    let _ = write!(text, "peer-disk:{}", word(device, "peer-disk-state"));
    if let Some(done) = device["done"].as_f64() {
        let _ = write!(text, " done:{done:.2}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_synchronisation_and_a_lost_peer_are_told() {
        let peer = |name: &str, state: &str, replication: &str| {
            json!({
                "name": name, "connection-state": state, "peer-role": "Secondary", "trouble": "connection refused",
                "peer_devices": [
                    { "replication-state": replication, "peer-disk-state": "Inconsistent", "done": 12.5 },
                ],
            })
        };
        let status = json!({
            "name": "r0", "role": "Primary", "suspended": true, "suspended-for": ["quorum", "fencing"],
            "devices": [{ "disk-state": "UpToDate", "quorum": true }],
            "connections": [peer("beta", "Connected", "SyncSource"), peer("gamma", "Connecting", "Off")],
        });
        assert_eq!(
            super::status(&status),
            "r0 role:Primary suspended:quorum,fencing\n  disk:UpToDate\n  beta role:Secondary\n    replication:SyncSource \
             peer-disk:Inconsistent done:12.50\n  gamma connection:Connecting (connection refused)\n"
        );
    }
}
