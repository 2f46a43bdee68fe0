//! `nbdinfo`.

use nbd::{Features, TlsPolicy};
use serde_json::{Value, json};

use super::program::{run, succeed};
use crate::server::{ALL, Server};

const SIZE: u64 = 4 << 20;

pub(crate) fn reports_what_was_exported() {
    let server = Server::start(SIZE, ALL, TlsPolicy::Unsupported);
    for name in ["r0", ""] {
        let report: Value =
            serde_json::from_str(&succeed("nbdinfo", &["--json", "--content", &server.uri(name)])).unwrap();
        assert_eq!(report["protocol"], "newstyle-fixed");
        assert_eq!((&report["TLS"], &report["structured"]), (&json!(false), &json!(true)));
        let export = &report["exports"][0];
        let wanted = json!({
            "description": "the first volume",
            "contexts": ["base:allocation"],
            "is_rotational": false,
            "is_read_only": false,
            "can_cache": true,
            "can_df": true,
            "can_fast_zero": true,
            "can_flush": true,
            "can_fua": true,
            "can_multi_conn": true,
            "can_trim": true,
            "can_zero": true,
            "block_size_minimum": 512,
            "block_size_preferred": 4096,
            "block_size_maximum": 1 << 21,
            "export-size": SIZE,
        });
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(&export[key], value, "{key} of {export}");
        }
    }
}

pub(crate) fn can_tells_every_feature() {
    let names = ["cache", "df", "fast-zero", "flush", "fua", "multi-conn", "trim", "write", "zero"];
    let none = Features { read_only: true, rotational: true, ..Features::default() };
    for (features, offered) in [(ALL, true), (none, false)] {
        let server = Server::start(SIZE, features, TlsPolicy::Unsupported);
        let uri = server.uri("r0");
        let says = |question: &str, name: &str| match run("nbdinfo", &[question, name, &uri]).status.code() {
            Some(0) => true,
            Some(2) => false,
            other => panic!("nbdinfo {question} {name}: {other:?}"),
        };
        for name in names {
            // One piece or several is about structured replies, not about the export.
            assert_eq!(says("--can", name), offered || name == "df", "{name}");
        }
        assert!(says("--can", "connect") && says("--can", "read"));
        assert_eq!(says("--is", "read-only"), !offered);
        assert_eq!(says("--is", "rotational"), !offered);
        assert!(!says("--is", "tls"));
    }
}

pub(crate) fn lists_exports_and_allocation() {
    let server = Server::start(SIZE, ALL, TlsPolicy::Unsupported);
    let listed = succeed("nbdinfo", &["--list", "--json", &server.uri("")]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<&Value> =
        listed["exports"].as_array().unwrap().iter().map(|export| &export["export-name"]).collect();
    assert_eq!(names, ["other", "r0"]);

    succeed("nbdsh", &["-u", &server.uri("r0"), "-c", "h.pwrite(b'x' * 8192, 1 << 20)"]);
    let map = succeed("nbdinfo", &["--map", "--json", &server.uri("r0")]);
    let map: Value = serde_json::from_str(&map).unwrap();
    let extents: Vec<(u64, u64, u64)> = map
        .as_array()
        .unwrap()
        .iter()
        .map(|extent| {
            let number = |key: &str| extent[key].as_u64().unwrap();
            (number("offset"), number("length"), number("type"))
        })
        .collect();
    let mib = 1 << 20;
    assert_eq!(extents, [(0, mib, 3), (mib, 8192, 0), (mib + 8192, 3 * mib - 8192, 3)]);
}

pub(crate) fn is_told_that_tls_is_required() {
    let server = Server::start(SIZE, ALL, TlsPolicy::Required);
    let output = run("nbdinfo", &[&server.uri("r0")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // How it says so depends on the version of libnbd.
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("TLS") || said.contains("Operation not supported"), "{said}");
    assert!(server.disk.lock().unwrap().served.is_empty());
}
