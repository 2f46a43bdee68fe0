//! An OpenSSH client configuration file (ssh_config(5)).
//!
//! In: a file. Out: what it says about one host, its `%` tokens and `~` expanded. What would lead to another
//! host or key than ssh(1) chooses, and is not understood here (`Match`, `ProxyCommand`), is an error.

use std::io::BufReader;
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use ssh2_config::{HostParams, ParseRule, SshConfig};

/// Largest configuration file that is read.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// A configuration file that was read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: Utf8PathBuf,
    home: Option<Utf8PathBuf>,
    parsed: SshConfig,
}

/// What a file says about one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostConfig {
    pub(super) host_name: Option<String>,
    pub(super) host_key_alias: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) identities: Vec<Utf8PathBuf>,
    pub(super) identities_only: bool,
    /// `None`: the environment's; `Some(None)`: none at all.
    pub(super) agent: Option<Option<Utf8PathBuf>>,
    pub(super) known_hosts: Option<Vec<Utf8PathBuf>>,
    pub(super) system_known_hosts: Option<Vec<Utf8PathBuf>>,
    /// `Some` of an empty list is `ProxyJump none`.
    pub(super) jump: Option<Vec<String>>,
}

impl ConfigFile {
    /// Reads a file; `home` is what `~` means.
    ///
    /// # Errors
    /// It cannot be read or understood; with its name and, where there is one, the line.
    pub(super) fn load(path: &Utf8Path, home: Option<&Utf8Path>) -> Result<Self, String> {
        let size_bytes =
            std::fs::metadata(path).map_err(|error| format!("cannot read {path}: {error}"))?.len();
        if size_bytes > MAX_CONFIG_BYTES {
            return Err(format!("{path} is larger than {MAX_CONFIG_BYTES} bytes"));
        }
        let text = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let parsed = parse(&text, home).map_err(|reason| match failing_line(&text, home) {
            Some(number) => format!("{path}:{number}: {reason}"),
            None => format!("{path}: {reason}"),
        })?;
        let has_match =
            |host: &ssh2_config::Host| host.params.ignored_fields.keys().any(|field| is_match(field));
        if parsed.get_hosts().iter().any(has_match) {
            let number = text.split(|&b| b == b'\n').position(|line| {
                let line = String::from_utf8_lossy(line);
                line.split_whitespace().next().is_some_and(is_match)
            });
            let place = number
                .map_or_else(|| format!("{path} (or a file it includes)"), |n| format!("{path}:{}", n + 1));
            return Err(format!(
                "{place}: `Match` is not supported: move what the nodes need into `Host` sections, or name another file"
            ));
        }
        Ok(Self { path: path.to_owned(), home: home.map(Utf8Path::to_owned), parsed })
    }

    /// What it says about this host (as it was named by the user).
    ///
    /// # Errors
    /// It needs something that is not supported.
    pub(super) fn query(&self, host: &str) -> Result<HostConfig, String> {
        let params = self.parsed.query(host);
        let field = |name: &str| params.unsupported_fields.get(name).filter(|values| !values.is_empty());
        if let Some(command) = field("proxycommand")
            && !command.join(" ").eq_ignore_ascii_case("none")
        {
            return Err(format!(
                "{}: `ProxyCommand` for {host} is not supported: use `ProxyJump`, or `jump` in the inventory",
                self.path
            ));
        }
        let yes = |name: &str| field(name).is_some_and(|values| values[0].eq_ignore_ascii_case("yes"));
        let tokens = Tokens::new(host, &params, self.home.as_deref());
        let paths = |name: &str| -> Result<Option<Vec<Utf8PathBuf>>, String> {
            let Some(values) = field(name) else { return Ok(None) };
            let kept = values.iter().filter(|value| !value.eq_ignore_ascii_case("none"));
            kept.map(|value| tokens.path(value)).collect::<Result<_, _>>().map(Some)
        };
        let agent = match field("identityagent").map(|values| values[0].as_str()) {
            None | Some("SSH_AUTH_SOCK") => None,
            Some("none") => Some(None),
            Some(socket) => Some(Some(tokens.path(socket)?)),
        };
        Ok(HostConfig {
            host_name: params.host_name.as_deref().map(|name| tokens.host_name(name)).transpose()?,
            host_key_alias: field("hostkeyalias").map(|values| values[0].clone()),
            port: params.port,
            user: params.user.clone(),
            identities: identity_files(&params, &tokens)?,
            identities_only: yes("identitiesonly"),
            agent,
            known_hosts: paths("userknownhostsfile")?,
            system_known_hosts: paths("globalknownhostsfile")?,
            jump: params.proxy_jump.as_ref().map(|hops| jump_list(hops)),
        })
    }
}

fn is_match(field: &str) -> bool {
    field.eq_ignore_ascii_case("match")
}

fn parse(text: &[u8], home: Option<&Utf8Path>) -> Result<SshConfig, String> {
    let mut config = SshConfig::default();
    if let Some(home) = home {
        config = config.home_dir(home);
    }
    let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
    config.parse(&mut BufReader::new(text), rules).map_err(|error| error.to_string())
}

/// The first line without which the file can be read. The parser does not say; the file is small.
fn failing_line(text: &[u8], home: Option<&Utf8Path>) -> Option<usize> {
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.chain([text.len()]).position(|end| parse(&text[..end], home).is_err()).map(|index| index + 1)
}

fn identity_files(params: &HostParams, tokens: &Tokens<'_>) -> Result<Vec<Utf8PathBuf>, String> {
    let files: &[PathBuf] = params.identity_file.as_deref().unwrap_or_default();
    let named = files.iter().filter(|file| file.as_os_str() != "none");
    named
        .map(|file| match file.to_str() {
            Some(file) => tokens.path(file),
            None => Err(format!("the name of the identity file {} is not UTF-8", file.display())),
        })
        .collect()
}

fn jump_list(hops: &[String]) -> Vec<String> {
    let all = hops.iter().flat_map(|hops| hops.split(',')).map(str::trim).filter(|hop| !hop.is_empty());
    all.filter(|hop| !hop.eq_ignore_ascii_case("none")).map(str::to_owned).collect()
}

/// The `%` tokens of ssh_config(5), "TOKENS", that name files and hosts.
struct Tokens<'a> {
    alias: &'a str,
    host: String,
    user: &'a str,
    port: u16,
    home: Option<&'a Utf8Path>,
}

impl<'a> Tokens<'a> {
    fn new(alias: &'a str, params: &'a HostParams, home: Option<&'a Utf8Path>) -> Self {
        let host = params.host_name.as_deref().unwrap_or("%h").replace("%h", alias);
        Self {
            alias,
            host,
            user: params.user.as_deref().unwrap_or(super::route::DEFAULT_USER),
            port: params.port.unwrap_or(super::settings::DEFAULT_PORT),
            home,
        }
    }

    fn host_name(&self, text: &str) -> Result<String, String> {
        self.expand(text, Some(self.alias))
    }

    fn path(&self, text: &str) -> Result<Utf8PathBuf, String> {
        let expanded = self.expand(text, None)?;
        let no_home = || format!("`{text}` needs a home directory, and HOME is not set");
        match (expanded.strip_prefix("~/"), self.home) {
            (Some(rest), Some(home)) => Ok(home.join(rest)),
            (Some(_), None) => Err(no_home()),
            (None, _) => Ok(expanded.into()),
        }
    }

    fn expand(&self, text: &str, host: Option<&str>) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('%') => out.push('%'),
                Some('h') => out.push_str(host.unwrap_or(&self.host)),
                Some('n') => out.push_str(self.alias),
                Some('r') => out.push_str(self.user),
                Some('p') => out.push_str(&self.port.to_string()),
                Some('d') => match self.home {
                    Some(home) => out.push_str(home.as_str()),
                    None => return Err(format!("`{text}` needs a home directory, and HOME is not set")),
                },
                other => {
                    let token = other.map(String::from).unwrap_or_default();
                    return Err(format!("`{text}`: the token `%{token}` is not supported"));
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<ConfigFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("config")).unwrap();
        std::fs::write(&path, text).unwrap();
        ConfigFile::load(&path, Some(Utf8Path::new("/home/op")))
            .map_err(|error| error.replace(path.as_str(), "config"))
    }

    #[test]
    fn a_host_gets_what_ssh_would_use() {
        let config = load(
            "Host alpha\n  HostName %h.example.org\n  Port 2222\n  User op\n  IdentityFile ~/.ssh/id_%n\n  \
             ProxyJump a@one:22,two\n  UserKnownHostsFile ~/.ssh/known_%h /etc/known\n  IdentitiesOnly yes\n\
             Host *\n  User other\n  IdentityFile /keys/common\n  HostKeyAlias x\n  IdentityAgent none\n",
        )
        .unwrap();
        let alpha = config.query("alpha").unwrap();
        assert_eq!(alpha.host_name.as_deref(), Some("alpha.example.org"));
        assert_eq!((alpha.port, alpha.user.as_deref()), (Some(2222), Some("op")));
        assert_eq!(alpha.identities, ["/home/op/.ssh/id_alpha", "/keys/common"]);
        assert_eq!(alpha.jump.unwrap(), ["a@one:22", "two"]);
        assert_eq!(alpha.known_hosts.unwrap(), ["/home/op/.ssh/known_alpha.example.org", "/etc/known"]);
        assert!(alpha.identities_only && alpha.agent == Some(None));
        let other = config.query("beta").unwrap();
        assert_eq!((other.host_name, other.port, other.user.as_deref()), (None, None, Some("other")));
        assert_eq!(other.host_key_alias.as_deref(), Some("x"));
    }

    #[test]
    fn what_is_not_understood_is_an_error_with_its_line() {
        assert!(load("Host a\n  Port many\n").unwrap_err().starts_with("config:2: "));
        assert!(load("Host a\nMatch host b\n  User c\n").unwrap_err().starts_with("config:2: `Match`"));
        let config = load("Host a\n  ProxyCommand nc %h %p\n").unwrap();
        assert!(config.query("a").unwrap_err().contains("ProxyJump"));
        assert!(config.query("b").is_ok());
    }

    #[test]
    fn proxy_jump_none_means_directly() {
        assert_eq!(load("ProxyJump none\n").unwrap().query("a").unwrap().jump, Some(Vec::new()));
    }
}
