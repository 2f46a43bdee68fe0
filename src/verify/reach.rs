//! Asks a service from this machine, as its users do.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::barclamp::Expect;

/// How long a service may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Most bytes of an answer that are looked at.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What came of asking.
pub type Reached = Result<(), String>;

/// Asks what `expect` names; `None` when it is nothing that is asked over the network.
pub async fn reach(expect: &Expect) -> Option<Reached> {
    match Asker::new(ANSWER_LIMIT) {
        Ok(asker) => asker.ask(expect).await,
        Err(why) => matches!(expect, Expect::Http { .. } | Expect::Tcp { .. }).then_some(Err(why)),
    }
}

/// Asks again and again, each time over a connection of its own.
#[derive(Debug, Clone)]
pub struct Asker {
    client: reqwest::Client,
    limit: Duration,
}

impl Asker {
    /// One that takes no answer after `limit` for a failure.
    ///
    /// # Errors
    /// The machine's settings for TLS cannot be used.
    pub fn new(limit: Duration) -> Result<Self, String> {
        // A second installation, by a check made at the same time, is refused and changes nothing.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(limit)
            .pool_max_idle_per_host(0)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("cannot ask over HTTP: {}", root(&error)))?;
        Ok(Self { client, limit })
    }

    /// Asks what `expect` names; `None` when it is nothing that is asked over the network.
    pub async fn ask(&self, expect: &Expect) -> Option<Reached> {
        match expect {
            Expect::Http { url, status, contains } => {
                Some(self.http(url, *status, contains.as_deref()).await)
            }
            Expect::Tcp { address, port } => Some(self.tcp(address, port).await),
            _ => None,
        }
    }

    async fn tcp(&self, address: &str, port: &str) -> Reached {
        let port: u16 = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
        match tokio::time::timeout(self.limit, TcpStream::connect((address, port))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("{address} port {port}: {error}")),
            Err(_) => Err(format!("{address} port {port} does not answer within {} s", self.limit.as_secs())),
        }
    }

    async fn http(&self, url: &str, status: u16, contains: Option<&str>) -> Reached {
        let mut answer =
            self.client.get(url).send().await.map_err(|error| format!("{url}: {}", root(&error)))?;
        if answer.status().as_u16() != status {
            return Err(format!("{url} answers with {}, not with {status}", answer.status().as_u16()));
        }
        let Some(wanted) = contains else { return Ok(()) };
        let mut body: Vec<u8> = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| format!("{url}: {}", root(&error)))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY_BYTES {
                return Err(format!("{url} answers with more than {MAX_BODY_BYTES} bytes"));
            }
        }
        if String::from_utf8_lossy(&body).contains(wanted) {
            Ok(())
        } else {
            Err(format!("{url} does not say `{wanted}`"))
        }
    }
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
