//! Secrets are in the files and the CIB that need them, and nowhere else.

use crate::setting::{NODES, Setting};

/// Looks at the arguments of all processes of a node, many times a second, for the word that stands in a file.
const WATCH: &str = r#"cat >/root/watch <<'END'
open(my $file, '<', '/root/watched') or die; my $secret = <$file>; $| = 1;
while (1) {
    for my $process (glob '/proc/[0-9]*/cmdline') {
        open(my $arguments, '<', $process) or next; local $/; my $text = <$arguments> // next;
        next if index($text, $secret) < 0;
        $text =~ tr/\0/ /; open(my $seen, '>>', '/root/seen') or die; print $seen "$text\n";
    }
    open(my $rounds, '>>', '/root/rounds') or die; print $rounds "\n"; select(undef, undef, undef, 0.05);
}
END
systemd-run --quiet --collect --unit=watch perl /root/watch"#;

/// What watches the processes of the nodes.
pub(crate) struct Watch {
    secret: String,
}

impl Watch {
    /// Begins to watch for the fence devices' password.
    pub(crate) fn begin(setting: &Setting) -> Self {
        let file = setting.quoted("password: { file");
        let secret = std::fs::read_to_string(file).expect("the lab's secret").trim().to_owned();
        assert!(secret.len() > 8, "a secret that does not turn up by chance");
        for node in NODES {
            setting.lab.on(node, &format!("printf %s '{secret}' >/root/watched"));
            setting.lab.on(node, WATCH);
        }
        Self { secret }
    }
}

/// Nothing that was printed, saved or logged holds the secret, and no process had it among its arguments.
pub(crate) fn nowhere(setting: &mut Setting, watch: &Watch) {
    let more = "    resources:\n      other: { primitive: \"ocf:heartbeat:Dummy\" }\n";
    for (verb, arguments) in [
        ("plan", vec!["--json"]),
        ("plan", vec!["-vv"]),
        ("drift", vec!["--json"]),
        ("verify", vec!["--json"]),
        ("status", vec!["--json"]),
    ] {
        let attempt = setting.attempt(verb, &arguments).more(more);
        setting.run(&attempt);
    }
    let json = setting.attempt("apply", &["--yes", "--json"]).more(more);
    setting.run(&json).expect(0);
    for node in NODES {
        let seen =
            setting.lab.on(node, "systemctl stop watch; cat /root/seen 2>/dev/null; wc -l </root/rounds");
        let rounds: usize =
            seen.trim().parse().unwrap_or_else(|_| panic!("arguments of a process on {node}: {seen}"));
        assert!(rounds > 0, "the processes of {node} were not watched");
    }
    let log = std::fs::read_to_string(setting.lab.path("remote.log")).expect("the log");
    assert!(log.contains("cibadmin") && log.len() > 10_000, "the log holds every command");
    let plan = std::fs::read_to_string(setting.lab.path("bare.plan")).expect("the saved plan");
    for (what, text) in [("the log", &log), ("the saved plan", &plan), ("what was printed", &setting.printed)]
    {
        for secret in [watch.secret.as_str(), "not-the-fence-password", "not-the-password", "operator-pw"] {
            if let Some(line) = text.lines().find(|line| line.contains(secret)) {
                panic!("a secret is in {what}: {line}");
            }
        }
    }
    let holds = "cibadmin --query | grep -cF -f /root/watched";
    assert_ne!(setting.lab.on("alpha", holds).trim(), "0", "it is what was looked for: the CIB has it");
    setting.lab.say("the secret is in no output, log, plan or process");
}
