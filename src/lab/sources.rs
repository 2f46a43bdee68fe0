//! Where the host gets Debian from, so that the nodes' image comes from the same mirror.
//!
//! In: the text of the host's apt sources, one-line and deb822 (sources.list(5)). Out: a deb822 text for the
//! wanted suite. Third-party archives are left out. `read` touches the disk; everything else is pure.

use std::fs;
use std::path::Path;

use super::config::Suite;
use super::error::LabError;

/// Options of a source that decide whether apt accepts it; they are carried over.
const KEPT_OPTIONS: [&str; 3] = ["Signed-By", "Trusted", "Check-Valid-Until"];

/// One archive, for one suite of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
    options: Vec<(String, String)>,
}

/// A deb822 sources file for `suite`.
///
/// # Errors
/// No Debian archive among the host's sources, and no `mirror`.
pub(crate) fn sources_for(suite: Suite, mirror: Option<&str>) -> Result<String, LabError> {
    if let Some(mirror) = mirror {
        return Ok(render(&from_mirror(mirror, suite)));
    }
    let mut sources = Vec::new();
    for (name, text) in read(Path::new("/etc/apt"))? {
        sources.extend(if name.ends_with(".sources") { parse_deb822(&text) } else { parse_one_line(&text) });
    }
    let chosen = choose(&sources, suite);
    if chosen.is_empty() {
        return Err(LabError::Sources(
            "the apt sources of this machine (/etc/apt/sources.list, /etc/apt/sources.list.d) name no Debian \
             archive; give one with --mirror URL"
                .to_owned(),
        ));
    }
    Ok(render(&chosen))
}

/// All sources files with their names, in apt's order.
fn read(dir: &Path) -> Result<Vec<(String, String)>, LabError> {
    let mut files = vec![dir.join("sources.list")];
    let parts = dir.join("sources.list.d");
    if parts.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(&parts)
            .map_err(LabError::io("read", &parts))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "list" || ext == "sources"))
            .collect();
        entries.sort();
        files.append(&mut entries);
    }
    let mut texts = Vec::new();
    for file in files.into_iter().filter(|file| file.exists()) {
        let text = fs::read_to_string(&file).map_err(LabError::io("read", &file))?;
        texts.push((file.to_string_lossy().into_owned(), text));
    }
    Ok(texts)
}

fn parse_one_line(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t'])) else {
            continue;
        };
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else { continue };
        sources.push(Source {
            uri: uri.to_owned(),
            suite: suite.to_owned(),
            components: words.map(str::to_owned).collect(),
            options: options
                .split_whitespace()
                .filter_map(|option| option.split_once('='))
                .filter_map(|(key, value)| Some((kept(key)?, value.to_owned())))
                .collect(),
        });
    }
    sources
}

fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in stanzas(text) {
        let field = |name: &str| {
            stanza
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map_or("", |(_, value)| value.as_str())
        };
        let enabled = !matches!(field("Enabled").trim().to_ascii_lowercase().as_str(), "no" | "false" | "0");
        if !enabled || !field("Types").split_whitespace().any(|kind| kind == "deb") {
            continue;
        }
        let options: Vec<(String, String)> =
            stanza.iter().filter_map(|(key, value)| Some((kept(key)?, value.clone()))).collect();
        for uri in field("URIs").split_whitespace() {
            for suite in field("Suites").split_whitespace() {
                sources.push(Source {
                    uri: uri.to_owned(),
                    suite: suite.to_owned(),
                    components: field("Components").split_whitespace().map(str::to_owned).collect(),
                    options: options.clone(),
                });
            }
        }
    }
    sources
}

/// Stanzas of `Key: value` fields; a continuation line begins with a blank and keeps its line break.
fn stanzas(text: &str) -> Vec<Vec<(String, String)>> {
    let mut stanzas = Vec::new();
    let mut current: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            if !current.is_empty() {
                stanzas.push(std::mem::take(&mut current));
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = current.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            current.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if !current.is_empty() {
        stanzas.push(current);
    }
    stanzas
}

fn kept(key: &str) -> Option<String> {
    KEPT_OPTIONS.iter().find(|option| option.eq_ignore_ascii_case(key)).map(|option| (*option).to_owned())
}

/// The host's own release and the parts of an archive that make up a Debian release.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Main,
    Updates,
    Security,
}

fn part_of(source: &Source) -> Option<Part> {
    const RELEASES: [&str; 6] = ["bookworm", "trixie", "stable", "oldstable", "testing", "bullseye"];
    if !source.components.iter().any(|component| component == "main") {
        return None;
    }
    // A third party's archive that uses Debian's suite names is signed with a key of its own.
    let key = source.options.iter().find(|(key, _)| key == "Signed-By").map(|(_, value)| value.as_str());
    if key.is_some_and(|key| !key.contains("debian-archive")) {
        return None;
    }
    let (release, rest) = match source.suite.split_once(['-', '/']) {
        Some((release, rest)) => (release, rest),
        None => (source.suite.as_str(), ""),
    };
    if !RELEASES.contains(&release) {
        return None;
    }
    match rest {
        "" => Some(Part::Main),
        "updates" if source.uri.contains("security") => Some(Part::Security),
        "updates" => Some(Part::Updates),
        "security" => Some(Part::Security),
        _ => None,
    }
}

/// The Debian archives among the sources, turned to the wanted suite.
fn choose(sources: &[Source], suite: Suite) -> Vec<Source> {
    let mut chosen: Vec<Source> = Vec::new();
    for source in sources {
        let Some(part) = part_of(source) else { continue };
        let source = Source {
            suite: match part {
                Part::Main => suite.to_string(),
                Part::Updates => format!("{suite}-updates"),
                Part::Security => format!("{suite}-security"),
            },
            components: vec!["main".to_owned()],
            ..source.clone()
        };
        if !chosen.iter().any(|other| other.suite == source.suite) {
            chosen.push(source);
        }
    }
    if chosen.iter().any(|source| source.suite == suite.as_str()) { chosen } else { Vec::new() }
}

fn from_mirror(mirror: &str, suite: Suite) -> Vec<Source> {
    let mirror = mirror.trim_end_matches('/');
    let source = |uri: String, suite: String| Source {
        uri,
        suite,
        components: vec!["main".to_owned()],
        options: vec![("Signed-By".to_owned(), "/usr/share/keyrings/debian-archive-keyring.gpg".to_owned())],
    };
    let mut sources = vec![
        source(mirror.to_owned(), suite.to_string()),
        source(mirror.to_owned(), format!("{suite}-updates")),
    ];
    // The security archive lies beside the main one on every mirror that has both.
    if let Some(parent) = mirror.strip_suffix("/debian") {
        sources.push(source(format!("{parent}/debian-security"), format!("{suite}-security")));
    }
    sources
}

fn render(sources: &[Source]) -> String {
    let mut text = String::new();
    for source in sources {
        let mut fields = vec![
            ("Types".to_owned(), "deb".to_owned()),
            ("URIs".to_owned(), source.uri.clone()),
            ("Suites".to_owned(), source.suite.clone()),
            ("Components".to_owned(), source.components.join(" ")),
        ];
        fields.extend(source.options.iter().cloned());
        for (key, value) in fields {
            text.push_str(&format!("{key}: {value}\n"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm \
        bookworm-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
        Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n";

    #[test]
    fn deb822_sources_give_all_three_parts() {
        let text = render(&choose(&parse_deb822(DEB822), Suite::Bookworm));
        assert_eq!(
            text,
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
             Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-updates\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
             Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n\
             Components: main\n\n"
        );
    }

    #[test]
    fn another_release_comes_from_the_same_mirror() {
        let text = render(&choose(&parse_deb822(DEB822), Suite::Trixie));
        assert!(text.contains("Suites: trixie-security") && !text.contains("bookworm"), "{text}");
    }

    #[test]
    fn one_line_sources_with_options_and_comments() {
        let text = "# old\ndeb-src http://a/debian bookworm main\n\
            deb [arch=amd64 trusted=yes] http://a/debian bookworm main non-free # why\n\
            deb http://a/debian-security bookworm-security main\n\
            deb http://security.example/ bookworm/updates main\n";
        let chosen = choose(&parse_one_line(text), Suite::Bookworm);
        let suites: Vec<&str> = chosen.iter().map(|source| source.suite.as_str()).collect();
        assert_eq!(suites, ["bookworm", "bookworm-security"]);
        assert_eq!(chosen[0].options, [("Trusted".to_owned(), "yes".to_owned())]);
    }

    #[test]
    fn third_parties_are_left_out() {
        let text = "deb https://download.docker.com/linux/debian bookworm stable\n\
            deb [signed-by=/usr/share/keyrings/pgdg.gpg] https://apt.example/ bookworm main\n\
            deb https://apt.example/ bookworm-pgdg main\n";
        assert!(choose(&parse_one_line(text), Suite::Bookworm).is_empty());
        let disabled = "Enabled: no\nTypes: deb\nURIs: http://a/debian\nSuites: bookworm\nComponents: main\n";
        assert!(parse_deb822(disabled).is_empty());
    }

    #[test]
    fn a_mirror_given_by_hand_brings_its_security_archive() {
        let text = render(&from_mirror("http://m/debian/", Suite::Trixie));
        assert!(text.contains("URIs: http://m/debian-security\nSuites: trixie-security"), "{text}");
    }
}
