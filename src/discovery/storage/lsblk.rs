//! Which block devices there are: lsblk(8).
//!
//! Only sysfs and the udev database are read: no device is opened. lsblk's JSON changed over the years: numbers and
//! flags were strings before util-linux 2.33, which also brought two columns, and one `mountpoint` became several with
//! 2.37; all are read.

use serde_json::{Map, Value};

use crate::discovery::probe::{Answer, Probe, ProbeError, malformed};
use crate::facts::{BlockDevice, Fact};

const NAME: &str = "lsblk";
/// Time limit of lsblk in seconds.
const LIMIT_S: u32 = 10;
/// Columns of every version that prints JSON.
const COLUMNS: &str = "NAME,KNAME,MAJ:MIN,TYPE,SIZE,RO,RM,ROTA,TRAN,MODEL,SERIAL,WWN,FSTYPE";
/// Columns added later: by version 2.37, by 2.33, by none.
const LATER: [&str; 3] = ["PATH,PTTYPE,MOUNTPOINTS", "PATH,PTTYPE,MOUNTPOINT", "MOUNTPOINT"];
/// Deepest nesting of devices on devices.
const MAX_DEPTH: usize = 32;

/// Runs lsblk.
pub(in crate::discovery) struct LsblkProbe;

impl Probe for LsblkProbe {
    type Fact = Vec<BlockDevice>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        let [newest, older, oldest] = LATER;
        format!(
            "list() {{ within {LIMIT_S} lsblk --json --bytes --output {COLUMNS},$1; status=$?; }}\n\
             list {newest}\nfor later in {older} {oldest}; do [ $status -ne 1 ] || list $later; done\nexit $status"
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Vec<BlockDevice>, ProbeError> {
        let json = answer.succeeded(NAME)?.text(NAME)?;
        let document: Value =
            serde_json::from_str(json).map_err(|error| malformed(NAME, error.to_string()))?;
        let roots = document
            .get("blockdevices")
            .and_then(Value::as_array)
            .ok_or_else(|| malformed(NAME, "there is no list of devices"))?;
        let mut devices = Vec::new();
        collect(roots, None, 0, &mut devices)?;
        Ok(devices)
    }
}

/// Appends these devices and what is on them; a device that lies on several appears once, with all of them.
fn collect(
    list: &[Value],
    parent: Option<&str>,
    depth: usize,
    devices: &mut Vec<BlockDevice>,
) -> Result<(), ProbeError> {
    if depth > MAX_DEPTH {
        return Err(malformed(NAME, format!("devices are nested more than {MAX_DEPTH} deep")));
    }
    for value in list {
        let fields = value.as_object().ok_or_else(|| malformed(NAME, "a device is not an object"))?;
        let name = required(fields, "kname")?;
        match devices.iter_mut().find(|device| device.name == name) {
            Some(known) => known
                .parents
                .extend(parent.filter(|p| !known.parents.iter().any(|k| k == p)).map(str::to_owned)),
            None => devices.push(device(fields, name.clone(), parent)?),
        }
        if let Some(children) = fields.get("children").and_then(Value::as_array) {
            collect(children, Some(&name), depth + 1, devices)?;
        }
    }
    Ok(())
}

fn device(
    fields: &Map<String, Value>,
    name: String,
    parent: Option<&str>,
) -> Result<BlockDevice, ProbeError> {
    let size = required(fields, "size")?;
    Ok(BlockDevice {
        path: text(fields, "path").unwrap_or_else(|| node(fields, &name)),
        number: text(fields, "maj:min").map(|number| number.replace(' ', "")),
        device_type: required(fields, "type")?,
        size_bytes: size.parse().map_err(|_| malformed(NAME, format!("{name} has the size `{size}`")))?,
        read_only: flag(fields, "ro", &name)?,
        removable: flag(fields, "rm", &name)?,
        rotational: optional_flag(fields, "rota", &name)?,
        transport: text(fields, "tran"),
        model: text(fields, "model"),
        serial: text(fields, "serial"),
        wwn: text(fields, "wwn"),
        filesystem: text(fields, "fstype"),
        partition_table: text(fields, "pttype"),
        mountpoints: mountpoints(fields),
        parents: parent.map(str::to_owned).into_iter().collect(),
        holders: Vec::new(),
        links: Vec::new(),
        content: Fact::Unknown("it was not looked at".to_owned()),
        name,
    })
}

/// A value as text; absent when null or blank.
fn text(fields: &Map<String, Value>, key: &str) -> Option<String> {
    let text = match fields.get(key)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn required(fields: &Map<String, Value>, key: &str) -> Result<String, ProbeError> {
    text(fields, key).ok_or_else(|| {
        let name = text(fields, "name").unwrap_or_else(|| "a device".to_owned());
        malformed(NAME, format!("{name} has no {key}"))
    })
}

fn flag(fields: &Map<String, Value>, key: &str, name: &str) -> Result<bool, ProbeError> {
    match required(fields, key)?.as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(malformed(NAME, format!("{name} has the {key} flag `{other}`"))),
    }
}

fn optional_flag(fields: &Map<String, Value>, key: &str, name: &str) -> Result<Option<bool>, ProbeError> {
    text(fields, key).map(|_| flag(fields, key, name)).transpose()
}

/// The device node where lsblk does not say it: maps are called by their own name, and a `!` stands for a slash.
fn node(fields: &Map<String, Value>, kernel_name: &str) -> String {
    match text(fields, "name") {
        Some(name) if name != kernel_name => format!("/dev/mapper/{name}"),
        _ => format!("/dev/{}", kernel_name.replace('!', "/")),
    }
}

fn mountpoints(fields: &Map<String, Value>) -> Vec<String> {
    match fields.get("mountpoints") {
        Some(Value::Array(points)) => points.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => text(fields, "mountpoint").into_iter().collect(),
    }
}
