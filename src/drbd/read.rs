//! From the tree to typed resources.

use super::model::{
    Address, Connection, Device, Endpoint, Family, Host, HostKind, Mesh, MetaDisk, ModelError, Resource,
    Volume,
};
use super::tree::{Entry, Section, Statement};
use super::word::Word;

/// Reads values and says in which resource they stand if they are wrong.
struct Reader<'a> {
    resource: &'a str,
}

impl Resource {
    /// The resource in a section `resource NAME { … }`.
    pub(super) fn read(section: &Section) -> Result<Self, ModelError> {
        let name = match &section.names[..] {
            [name] => name.text().to_owned(),
            other => return Err(Reader { resource: "" }.wrong("name of a resource", other)),
        };
        let reader = Reader { resource: &name };
        let mut resource = Self { name: name.clone(), ..Self::default() };
        for entry in &section.body {
            match entry {
                Entry::Comment(_) => {}
                Entry::Statement(statement) => {
                    let volume = resource.volumes.entry(0).or_default();
                    if !reader.volume_statement(volume, statement)? {
                        resource.other.push(entry.clone());
                    }
                }
                Entry::Section(inner) => reader.section(&mut resource, inner)?,
            }
        }
        resource.volumes.retain(|_, volume| !volume.is_empty());
        Ok(resource)
    }
}

impl Reader<'_> {
    fn wrong(&self, wanted: &'static str, found: &[Word]) -> ModelError {
        let found = found.iter().map(Word::text).collect::<Vec<_>>().join(" ");
        ModelError::Value { resource: self.resource.to_owned(), wanted, found }
    }

    fn number<T: std::str::FromStr>(&self, wanted: &'static str, words: &[Word]) -> Result<T, ModelError> {
        match words {
            [word] => word.text().parse().map_err(|_| self.wrong(wanted, words)),
            _ => Err(self.wrong(wanted, words)),
        }
    }

    fn one(&self, wanted: &'static str, words: &[Word]) -> Result<String, ModelError> {
        match words {
            [word] => Ok(word.text().to_owned()),
            _ => Err(self.wrong(wanted, words)),
        }
    }

    fn section(&self, resource: &mut Resource, section: &Section) -> Result<(), ModelError> {
        if section.skip {
            return Ok(());
        }
        let keyword = if section.keyword.is_quoted() { "" } else { section.keyword.text() };
        match keyword {
            "on" | "floating" | "stacked-on-top-of" => resource.hosts.push(self.host(keyword, section)?),
            "volume" => {
                let (number, volume) = self.volume(section)?;
                let known = resource.volumes.entry(number).or_default();
                if !known.is_empty() {
                    let what = format!("volume {number}");
                    return Err(ModelError::Twice { resource: self.resource.to_owned(), what });
                }
                *known = volume;
            }
            "connection" => resource.connections.push(self.connection(section)?),
            "connection-mesh" => resource.meshes.push(self.mesh(section)),
            _ => match resource.sections.read(section) {
                Some(other) => resource.other.extend(other),
                None => resource.other.push(Entry::Section(section.clone())),
            },
        }
        Ok(())
    }

    fn host(&self, keyword: &str, section: &Section) -> Result<Host, ModelError> {
        let names = || section.names.iter().map(|name| name.text().to_owned()).collect::<Vec<_>>();
        let (kind, address) = match keyword {
            "floating" => (HostKind::Floating, Some(self.address(&section.names)?)),
            "stacked-on-top-of" => (HostKind::Stacked(self.one("name of a resource", &section.names)?), None),
            _ if section.names.is_empty() => return Err(self.wrong("name of a host", &[])),
            _ => (HostKind::On(names()), None),
        };
        let mut host = Host {
            kind,
            node_id: None,
            address,
            volumes: std::collections::BTreeMap::new(),
            sections: super::options::Sections::default(),
            other: Vec::new(),
        };
        for entry in &section.body {
            match entry {
                Entry::Comment(_) => {}
                Entry::Statement(statement) if statement.keyword.is("node-id") => {
                    host.node_id = Some(self.number("node id", &statement.values)?);
                }
                Entry::Statement(statement) if statement.keyword.is("address") => {
                    host.address = Some(self.address(&statement.values)?);
                }
                Entry::Statement(statement) => {
                    let volume = host.volumes.entry(0).or_default();
                    if !self.volume_statement(volume, statement)? {
                        host.other.push(entry.clone());
                    }
                }
                Entry::Section(inner) if inner.keyword.is("volume") && !inner.skip => {
                    let (number, volume) = self.volume(inner)?;
                    host.volumes.insert(number, volume);
                }
                Entry::Section(inner) => match host.sections.read(inner) {
                    Some(other) => host.other.extend(other),
                    None => host.other.push(entry.clone()),
                },
            }
        }
        host.volumes.retain(|_, volume| !volume.is_empty());
        Ok(host)
    }

    fn volume(&self, section: &Section) -> Result<(u16, Volume), ModelError> {
        let number = self.number("number of a volume", &section.names)?;
        let mut volume = Volume::default();
        for entry in &section.body {
            match entry {
                Entry::Comment(_) => {}
                Entry::Section(inner) if inner.keyword.is("disk") => drop(volume.disk_options.read(inner)),
                Entry::Statement(statement) if self.volume_statement(&mut volume, statement)? => {}
                Entry::Statement(Statement { keyword, .. }) | Entry::Section(Section { keyword, .. }) => {
                    return Err(self.wrong("part of a volume", std::slice::from_ref(keyword)));
                }
            }
        }
        Ok((number, volume))
    }

    /// Takes in `device`, `disk` and `meta-disk`; `false` if it is none of them.
    fn volume_statement(&self, volume: &mut Volume, statement: &Statement) -> Result<bool, ModelError> {
        let values = &statement.values[..];
        if statement.keyword.is_quoted() {
            return Ok(false);
        }
        match statement.keyword.text() {
            "device" => {
                let (path, minor) = match values {
                    [minor, number] if minor.is("minor") => (None, Some(std::slice::from_ref(number))),
                    [path, minor, number] if minor.is("minor") => {
                        (Some(path), Some(std::slice::from_ref(number)))
                    }
                    [path] => (Some(path), None),
                    _ => return Err(self.wrong("replicated device", values)),
                };
                volume.device = Some(Device {
                    path: path.map(|path| path.text().to_owned()),
                    minor: minor.map(|minor| self.number("minor", minor)).transpose()?,
                });
            }
            "disk" => volume.disk = Some(self.one("backing device", values)?),
            "meta-disk" | "flexible-meta-disk" => volume.meta_disk = Some(self.meta_disk(values)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn meta_disk(&self, values: &[Word]) -> Result<MetaDisk, ModelError> {
        let text: String = match values {
            [word] if word.is_quoted() => return Ok(MetaDisk::External(word.text().to_owned())),
            [word] if word.is("internal") => return Ok(MetaDisk::Internal),
            [] => return Err(self.wrong("place of metadata", values)),
            // `/dev/sdb [ 0 ]` in any division into words.
            words => words.iter().map(Word::text).collect(),
        };
        match text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
            Some((device, index)) => {
                let index = index.parse().map_err(|_| self.wrong("place of metadata", values))?;
                Ok(MetaDisk::Indexed(device.to_owned(), index))
            }
            None if values.len() == 1 => Ok(MetaDisk::External(text)),
            None => Err(self.wrong("place of metadata", values)),
        }
    }

    /// `[family] address:port` in any division into words.
    fn address(&self, words: &[Word]) -> Result<Address, ModelError> {
        let wrong = || self.wrong("address with a port", words);
        let (family, rest) = match words {
            [first, rest @ ..] => match Family::ALL.into_iter().find(|family| first.is(family.as_str())) {
                Some(family) => (Some(family), rest),
                None => (None, words),
            },
            [] => return Err(wrong()),
        };
        let text: String = rest.iter().map(Word::text).collect();
        let (ip, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let inner = ip.strip_prefix('[').map_or(Some(ip), |ip| ip.strip_suffix(']')).ok_or_else(wrong)?;
        // A scope (`fe80::1%eth0`) is no part of the address proper.
        let bare = inner.split('%').next().unwrap_or_default();
        let parsed: std::net::IpAddr = bare.parse().map_err(|_| wrong())?;
        let family = family.unwrap_or(if parsed.is_ipv6() { Family::Ipv6 } else { Family::Ipv4 });
        Ok(Address { family, ip: inner.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }

    fn connection(&self, section: &Section) -> Result<Connection, ModelError> {
        let mut connection = Connection::default();
        if let [name] = &section.names[..] {
            connection.name = Some(name.text().to_owned());
        } else if !section.names.is_empty() {
            return Err(self.wrong("name of a connection", &section.names));
        }
        for entry in &section.body {
            match entry {
                Entry::Comment(_) => {}
                Entry::Statement(statement) if statement.keyword.is("host") => {
                    connection.endpoints.push(self.endpoint(&statement.values)?);
                }
                Entry::Section(inner) if inner.keyword.is("path") && !inner.skip && plain_path(inner) => {
                    let hosts = inner.body.iter().filter_map(|entry| match entry {
                        Entry::Statement(statement) => Some(self.endpoint(&statement.values)),
                        _ => None,
                    });
                    connection.paths.push(hosts.collect::<Result<_, _>>()?);
                }
                Entry::Section(inner) if inner.keyword.is("volume") && !inner.skip => {
                    let number = self.number("number of a volume", &inner.names)?;
                    let options = connection.volumes.entry(number).or_default();
                    for disk in inner.sections("disk") {
                        drop(options.read(disk));
                    }
                }
                Entry::Section(inner) => match connection.sections.read(inner) {
                    Some(other) => connection.other.extend(other),
                    None => connection.other.push(entry.clone()),
                },
                Entry::Statement(_) => connection.other.push(entry.clone()),
            }
        }
        Ok(connection)
    }

    /// `NAME [address …] [port …]`.
    fn endpoint(&self, words: &[Word]) -> Result<Endpoint, ModelError> {
        let (host, rest) = words.split_first().ok_or_else(|| self.wrong("host of a connection", words))?;
        let mut endpoint = Endpoint { host: host.text().to_owned(), address: None, port: None };
        match rest {
            [] => {}
            [address, rest @ ..] if address.is("address") => endpoint.address = Some(self.address(rest)?),
            [port, rest @ ..] if port.is("port") => endpoint.port = Some(self.number("port", rest)?),
            _ => return Err(self.wrong("host of a connection", words)),
        }
        Ok(endpoint)
    }

    #[allow(clippy::unused_self, reason = "one of the kinds of sections, all read alike")]
    fn mesh(&self, section: &Section) -> Mesh {
        let mut mesh = Mesh::default();
        for entry in &section.body {
            match entry {
                Entry::Statement(statement) if statement.keyword.is("hosts") => {
                    mesh.hosts.extend(statement.values.iter().map(|host| host.text().to_owned()));
                }
                Entry::Section(inner) => drop(mesh.sections.read(inner)),
                Entry::Statement(_) | Entry::Comment(_) => {}
            }
        }
        mesh
    }
}

/// Whether a path holds nothing but its hosts: one with a proxy is kept as it is.
fn plain_path(path: &Section) -> bool {
    path.body.iter().all(|entry| match entry {
        Entry::Statement(statement) => statement.keyword.is("host"),
        Entry::Comment(_) => true,
        Entry::Section(_) => false,
    })
}
