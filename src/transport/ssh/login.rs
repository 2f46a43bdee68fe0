//! Logging in with the user's keys.
//!
//! In: a connection that has shown a trusted host key, an endpoint. Out: logged in, or every key that was
//! tried and why it did not do. No request is made only to find out what the server would allow.

use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use tokio::net::UnixStream;

use super::context::SshContext;
use super::handler::Client;
use super::identity::Identity;
use super::route::Endpoint;

/// Most keys that are offered: sshd gives up after `MaxAuthTries` (6 unless configured).
const MAX_OFFERED_KEYS: usize = 6;

/// Logs in.
///
/// # Errors
/// What was tried, in one sentence.
pub(super) async fn login(
    handle: &mut Handle<Client>,
    endpoint: &Endpoint,
    context: &SshContext,
) -> Result<(), String> {
    let mut attempt = Attempt {
        handle,
        endpoint,
        agent: Agent::Unasked,
        tried: Vec::new(),
        offered: Vec::new(),
        allowed: None,
    };
    for path in &endpoint.identities {
        match context.identity(path).await {
            Ok(identity) => {
                if attempt.with_file(&identity).await? {
                    return Ok(());
                }
            }
            Err(reason) if endpoint.identities_required || path.exists() => attempt.tried.push(reason),
            Err(_) => {}
        }
    }
    if !endpoint.identities_only && attempt.with_agent().await? {
        return Ok(());
    }
    Err(attempt.failure())
}

enum Agent {
    Unasked,
    Absent,
    Present { client: Box<AgentClient<UnixStream>>, identities: Vec<AgentIdentity> },
}

struct Attempt<'a> {
    handle: &'a mut Handle<Client>,
    endpoint: &'a Endpoint,
    agent: Agent,
    /// What did not work, in order.
    tried: Vec<String>,
    offered: Vec<PublicKey>,
    /// The methods that the server still allows.
    allowed: Option<MethodSet>,
}

impl Attempt<'_> {
    /// Tries a key file: its certificate, then the key; through the agent when the file cannot be opened.
    async fn with_file(&mut self, identity: &Identity) -> Result<bool, String> {
        let user = self.endpoint.user.clone();
        let key = match &identity.private {
            Ok(key) => key.clone(),
            Err(reason) => {
                let Some(public) = identity.public.clone() else {
                    self.tried.push(reason.clone());
                    return Ok(false);
                };
                if !self.agent_holds(&public).await {
                    self.tried.push(reason.clone());
                    return Ok(false);
                }
                return self.sign_with_agent(AgentIdentity::from(public)).await;
            }
        };
        if let Some(certificate) = identity.certificate.clone() {
            let result = self.handle.authenticate_openssh_cert(&user, key.clone(), certificate).await;
            if self.judge(
                result.map_err(|error| super::handler::explain(&error)),
                "certificate",
                &identity.path,
            )? {
                return Ok(true);
            }
        }
        let hash = key.algorithm().is_rsa().then_some(HashAlg::Sha512);
        self.offered.push(key.public_key().clone());
        let signer = PrivateKeyWithHashAlg::new(Arc::clone(&key), hash);
        let result = self.handle.authenticate_publickey(&user, signer).await;
        self.judge(result.map_err(|error| super::handler::explain(&error)), "key", &identity.path)
    }

    /// Tries what else the agent holds.
    async fn with_agent(&mut self) -> Result<bool, String> {
        self.ask_agent().await;
        let Agent::Present { identities, .. } = &self.agent else { return Ok(false) };
        for identity in identities.clone() {
            if self.offered.contains(&identity.public_key()) {
                continue;
            }
            if self.offered.len() >= MAX_OFFERED_KEYS {
                self.tried.push(format!(
                    "the agent holds more keys than the {MAX_OFFERED_KEYS} a server lets one try: name the right one"
                ));
                break;
            }
            if self.sign_with_agent(identity).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn agent_holds(&mut self, public: &PublicKey) -> bool {
        self.ask_agent().await;
        match &self.agent {
            Agent::Present { identities, .. } => {
                identities.iter().any(|identity| identity.public_key().key_data() == public.key_data())
            }
            _ => false,
        }
    }

    /// Connects to the agent and lists its keys, at the first call.
    async fn ask_agent(&mut self) {
        if !matches!(self.agent, Agent::Unasked) {
            return;
        }
        self.agent = Agent::Absent;
        let Some(socket) = self.endpoint.agent.clone() else { return };
        let mut client = match AgentClient::connect_uds(&socket).await {
            Ok(client) => client,
            Err(error) => {
                self.tried.push(format!("the agent at {socket} does not answer ({error})"));
                return;
            }
        };
        if let Some(binding) = self.handle.agent_session_binding() {
            // Agents older than OpenSSH 8.9 do not know this; they hold no keys that need it.
            let _ = client.bind_session(binding, false).await;
        }
        match client.request_identities().await {
            Ok(identities) => {
                if identities.is_empty() {
                    self.tried.push(format!("the agent at {socket} holds no keys"));
                }
                self.agent = Agent::Present { client: Box::new(client), identities };
            }
            Err(error) => self.tried.push(format!("the agent at {socket} does not list its keys ({error})")),
        }
    }

    async fn sign_with_agent(&mut self, identity: AgentIdentity) -> Result<bool, String> {
        let public = identity.public_key().into_owned();
        let what = format!("{} {}", public.algorithm(), public.fingerprint(HashAlg::Sha256));
        let Agent::Present { client, .. } = &mut self.agent else { return Ok(false) };
        let hash = public.algorithm().is_rsa().then_some(HashAlg::Sha512);
        let user = self.endpoint.user.clone();
        let result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                self.offered.push(public);
                self.handle.authenticate_publickey_with(user, key, hash, client.as_mut()).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                self.handle.authenticate_certificate_with(user, certificate, hash, client.as_mut()).await
            }
        };
        match result {
            Err(error) => {
                self.tried.push(format!("the agent does not sign with {what} ({error})"));
                Ok(false)
            }
            Ok(result) => self.judge(Ok(result), "agent key", &what),
        }
    }

    /// Whether this attempt succeeded; an error when the server lets us try no further.
    fn judge(
        &mut self,
        result: Result<AuthResult, String>,
        what: &str,
        which: &dyn std::fmt::Display,
    ) -> Result<bool, String> {
        match result {
            Ok(AuthResult::Success) => return Ok(true),
            Ok(AuthResult::Failure { remaining_methods, partial_success: true }) => {
                return Err(format!(
                    "{what} {which} was accepted, but the node wants more ({}), which is not supported",
                    names(&remaining_methods)
                ));
            }
            Ok(AuthResult::Failure { remaining_methods, .. }) => {
                self.tried.push(format!("{what} {which} was refused"));
                self.allowed = Some(remaining_methods);
            }
            Err(reason) => self.tried.push(format!("{what} {which}: {reason}")),
        }
        if self.handle.is_closed() { Err(self.failure()) } else { Ok(false) }
    }

    fn failure(&self) -> String {
        if self.tried.is_empty() {
            return "there is no key to log in with: name one with an identity file, or load one into an agent".to_owned();
        }
        let tried = self.tried.join("; ");
        let key_advice =
            "see that the key's public half is in the login's ~/.ssh/authorized_keys on the node";
        match &self.allowed {
            Some(allowed) if !allowed.is_empty() && !allowed.contains(&MethodKind::PublicKey) => {
                format!("{tried}; the node allows only {}, hactl logs in with keys only", names(allowed))
            }
            Some(_) => format!("{tried}; {key_advice}"),
            None => tried,
        }
    }
}

fn names(methods: &MethodSet) -> String {
    methods.iter().map(<&'static str>::from).collect::<Vec<_>>().join(", ")
}
