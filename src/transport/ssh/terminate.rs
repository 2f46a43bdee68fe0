//! Ending a command that was given up, on the node.
//!
//! In: the tag in the environment of the command and of everything it started. Out: none of them runs any
//! more, as far as the node can still be asked. sshd closes a command's streams but leaves it running, and
//! forwards signals for logins other than root only (session.c, `session_signal_req`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::channel::start;
use super::connection::Connection;
use crate::names::NodeName;
use crate::transport::process::{Context, run};
use crate::transport::{Command, Sudo, quote};

/// Longest time for the whole; the script itself waits 2 s for SIGTERM to be obeyed.
const MAX_TERMINATION: Duration = Duration::from_secs(10);

/// Ends every process with the tag in its environment: SIGTERM, after 2 s SIGKILL.
const SCRIPT: &str = r#"
tag=$1
tagged() {
    grep -lsz -e "^HACTL_COMMAND=$tag\$" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do echo "$pid"; done
}
for signal in TERM KILL; do
    for pause in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        pids=$(tagged)
        if [ -z "$pids" ]; then exit 0; fi
        if [ "$pause" -eq 1 ]; then kill -"$signal" $pids 2>/dev/null; fi
        sleep 0.1
    done
done
exit 1
"#;

/// How a given-up command is ended.
#[derive(Clone)]
pub(super) struct Termination {
    pub(super) node: NodeName,
    /// What `HACTL_COMMAND` is in the environment of the command.
    pub(super) tag: String,
    /// How the command became root, if it did.
    pub(super) sudo: Option<Sudo>,
}

impl Termination {
    /// Ends the command. Its fate was already reported as unknown: there is nobody to tell of a failure.
    pub(super) async fn run(self, connection: &Arc<Connection>) {
        let _ = timeout(MAX_TERMINATION, self.run_unlimited(connection)).await;
    }

    async fn run_unlimited(self, connection: &Arc<Connection>) {
        let argv = ["/bin/sh", "-c", SCRIPT, "hactl", &self.tag].map(str::to_owned);
        let wrapped = match &self.sudo {
            Some(sudo) => sudo.wrap(&argv, "termination"),
            None => Some(argv.to_vec()),
        };
        let Some(Ok(line)) = wrapped.map(|argv| quote(&argv)) else { return };
        let command = Command::new(argv).timeout(MAX_TERMINATION);
        let Ok(channel) = connection.spare_channel().await else { return };
        let started = Instant::now();
        let Ok((process, _)) = start(channel, format!("exec {line}"), None).await else { return };
        let context = Context { node: &self.node, command: &command, sudo: self.sudo, started };
        let _ = run(process, &context).await;
    }
}
