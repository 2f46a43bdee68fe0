//! From typed resources to the tree.

use std::collections::BTreeMap;

use super::model::{
    Address, Connection, Endpoint, Family, Host, HostKind, Mesh, MetaDisk, ModelError, Resource, Volume,
};
use super::options::Options;
use super::tree::{Entry, Section, Statement};
use super::word::{Word, WordError};

impl Resource {
    /// The section `resource NAME { … }`, as DRBD 9 and, without node ids and connections, DRBD 8.4 read it.
    ///
    /// # Errors
    /// When a name or value cannot be written in a `drbd.conf`.
    pub fn to_section(&self) -> Result<Section, ModelError> {
        let mut body = volumes(&self.volumes)?;
        for host in &self.hosts {
            body.push(Entry::Section(write_host(host)?));
        }
        for connection in &self.connections {
            body.push(Entry::Section(write_connection(connection)?));
        }
        for mesh in &self.meshes {
            body.push(Entry::Section(write_mesh(mesh)?));
        }
        body.extend(self.sections.write()?);
        body.extend(self.other.iter().cloned());
        Ok(Section::new("resource", vec![Word::new(&self.name)?], body))
    }
}

fn statement(keyword: &'static str, values: Vec<Word>) -> Entry {
    Entry::Statement(Statement::new(keyword, values))
}

fn number(value: impl ToString) -> Result<Word, WordError> {
    Word::bare(value.to_string())
}

fn address(address: &Address) -> Result<Vec<Word>, WordError> {
    let text = Word::bare(address.to_string())?;
    // What is meant without a word for it needs none.
    Ok(match address.family {
        Family::Ipv4 => vec![text],
        family => vec![Word::bare(family.as_str())?, text],
    })
}

fn volumes(volumes: &BTreeMap<u16, Volume>) -> Result<Vec<Entry>, WordError> {
    let section = |(index, volume): (&u16, &Volume)| {
        Ok(Entry::Section(Section::new("volume", vec![number(index)?], write_volume(volume)?)))
    };
    volumes.iter().map(section).collect()
}

fn write_volume(volume: &Volume) -> Result<Vec<Entry>, WordError> {
    let mut body = Vec::new();
    if let Some(device) = &volume.device {
        let mut values = Vec::new();
        if let Some(path) = &device.path {
            values.push(Word::new(path)?);
        }
        if let Some(minor) = device.minor {
            values.extend([Word::keyword("minor"), number(minor)?]);
        }
        body.push(statement("device", values));
    }
    if let Some(disk) = &volume.disk {
        body.push(statement("disk", vec![Word::new(disk)?]));
    }
    if let Some(meta_disk) = &volume.meta_disk {
        let values = match meta_disk {
            MetaDisk::Internal => vec![Word::keyword("internal")],
            MetaDisk::External(device) if device == "internal" => vec![Word::quoted(device)?],
            MetaDisk::External(device) => vec![Word::new(device)?],
            MetaDisk::Indexed(device, index) => vec![Word::new(device)?, Word::bare(format!("[{index}]"))?],
        };
        body.push(statement("meta-disk", values));
    }
    body.extend(options("disk", &volume.disk_options)?);
    Ok(body)
}

fn options(keyword: &'static str, options: &Options) -> Result<Option<Entry>, WordError> {
    if options.is_empty() {
        return Ok(None);
    }
    Ok(Some(Entry::Section(Section::new(keyword, Vec::new(), options.write()?))))
}

fn write_host(host: &Host) -> Result<Section, WordError> {
    let mut body = Vec::new();
    if let Some(id) = host.node_id {
        body.push(statement("node-id", vec![number(id)?]));
    }
    let (keyword, names) = match (&host.kind, &host.address) {
        (HostKind::On(names), _) => ("on", names.iter().map(Word::new).collect::<Result<_, _>>()?),
        (HostKind::Stacked(resource), _) => ("stacked-on-top-of", vec![Word::new(resource)?]),
        (HostKind::Floating, Some(found)) => ("floating", address(found)?),
        (HostKind::Floating, None) => ("floating", Vec::new()),
    };
    if let (Some(found), true) = (&host.address, keyword != "floating") {
        body.push(statement("address", address(found)?));
    }
    body.extend(volumes(&host.volumes)?);
    body.extend(host.sections.write()?);
    body.extend(host.other.iter().cloned());
    Ok(Section::new(keyword, names, body))
}

fn endpoint(endpoint: &Endpoint) -> Result<Entry, WordError> {
    let mut values = vec![Word::new(&endpoint.host)?];
    if let Some(found) = &endpoint.address {
        values.push(Word::keyword("address"));
        values.extend(address(found)?);
    } else if let Some(port) = endpoint.port {
        values.extend([Word::keyword("port"), number(port)?]);
    }
    Ok(statement("host", values))
}

fn write_connection(connection: &Connection) -> Result<Section, WordError> {
    let mut body: Vec<Entry> = connection.endpoints.iter().map(endpoint).collect::<Result<_, _>>()?;
    for path in &connection.paths {
        let hosts = path.iter().map(endpoint).collect::<Result<_, _>>()?;
        body.push(Entry::Section(Section::new("path", Vec::new(), hosts)));
    }
    for (index, found) in &connection.volumes {
        let inner = options("disk", found)?.into_iter().collect();
        body.push(Entry::Section(Section::new("volume", vec![number(index)?], inner)));
    }
    body.extend(connection.sections.write()?);
    body.extend(connection.other.iter().cloned());
    let names = connection.name.iter().map(Word::new).collect::<Result<_, _>>()?;
    Ok(Section::new("connection", names, body))
}

fn write_mesh(mesh: &Mesh) -> Result<Section, WordError> {
    let hosts = mesh.hosts.iter().map(Word::new).collect::<Result<_, _>>()?;
    let mut body = vec![statement("hosts", hosts)];
    body.extend(mesh.sections.write()?);
    Ok(Section::new("connection-mesh", Vec::new(), body))
}
