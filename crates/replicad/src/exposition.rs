//! Prometheus's text format, version 0.0.4: families of metrics, each with its help and type once, in the order given.

use std::fmt::Write as _;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only rises; begins anew with the process.
    Counter,
}

/// The text.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    /// A family: its name, what it is, and its samples, each with labels.
    pub(crate) fn family<'a>(
        &mut self,
        (name, kind, help): (&str, Kind, &str),
        samples: impl IntoIterator<Item = (Vec<(&'a str, String)>, u64)>,
    ) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let _ = writeln!(self.text, "{name}{{{}}} {value}", labels.join(","));
        }
    }

    /// All of it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut exposition = Exposition::default();
        let labels = |peer: &str| vec![("volume", "r0".to_owned()), ("peer", peer.to_owned())];
        exposition.family(
            ("x_bytes_total", Kind::Counter, "Bytes of x."),
            [(labels("beta"), 5), (labels("a\"b\\c\nd"), 0)],
        );
        assert_eq!(
            exposition.into_text(),
            "# HELP x_bytes_total Bytes of x.\n# TYPE x_bytes_total counter\n\
             x_bytes_total{volume=\"r0\",peer=\"beta\"} 5\nx_bytes_total{volume=\"r0\",peer=\"a\\\"b\\\\c\\nd\"} 0\n"
        );
    }
}
