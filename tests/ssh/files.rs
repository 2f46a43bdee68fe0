//! Reading files, and replacing them whole or not at all.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use hactl::names::NodeName;
use hactl::transport::{FileImage, LocalTransport, Secrecy, Sudo, Transport, TransportError};

use crate::support::{Folder, Host, Wish, script};

fn image(path: Utf8PathBuf, content: impl Into<Bytes>) -> FileImage {
    FileImage {
        path,
        content: content.into(),
        mode: 0o640,
        owner: "root".to_owned(),
        group: "daemon".to_owned(),
        secrecy: Secrecy::Open,
    }
}

fn names(folder: &Utf8Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn failed(error: &TransportError) -> &str {
    match error {
        TransportError::Failed { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

async fn replaces_and_reads(node: &dyn Transport, folder: &Utf8Path) {
    let path = folder.join("it's a file");
    assert_eq!(node.read(&path).await.unwrap(), None);
    for content in [Bytes::from_static(b"one\n"), Bytes::new(), Bytes::from(vec![0xff; 3_000_000])] {
        node.replace(&image(path.clone(), content.clone())).await.unwrap();
        assert!(node.read(&path).await.unwrap() == Some(content));
    }
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o7777, metadata.uid(), metadata.gid()), (0o640, 0, 1));
    assert_eq!(names(folder), ["it's a file"]);
}

async fn explains_failures(node: &dyn Transport, folder: &Utf8Path) {
    std::fs::create_dir(folder.join("sub")).unwrap();
    let error = node.replace(&image(folder.join("none/file"), "x")).await.unwrap_err();
    assert!(failed(&error).contains("none does not exist on the node"), "{error}");
    let error = node.replace(&image(folder.join("sub"), "x")).await.unwrap_err();
    assert!(failed(&error).contains("is a folder"), "{error}");
    let stranger = FileImage { owner: "nobody-of-that-name".to_owned(), ..image(folder.join("file"), "x") };
    let error = node.replace(&stranger).await.unwrap_err();
    assert!(failed(&error).contains("invalid user"), "{error}");
    assert!(node.replace(&image("relative".into(), "x")).await.is_err());
    assert_eq!(node.read(&folder.join("none/file")).await.unwrap(), None);
    assert!(failed(&node.read(&folder.join("sub")).await.unwrap_err()).contains("Is a directory"));
    std::os::unix::fs::symlink("nowhere", folder.join("dangling")).unwrap();
    assert!(node.read(&folder.join("dangling")).await.is_err(), "a dangling link is not an absent file");
    std::fs::write(folder.join("plain"), "x").unwrap();
    assert!(node.read(&folder.join("plain/file")).await.is_err());
    assert_eq!(names(folder), ["dangling", "plain", "sub"]);
}

#[tokio::test]
async fn files_over_ssh() {
    let host = Host::start();
    let (one, two) = (Folder::new(), Folder::new());
    replaces_and_reads(&host.connect(), one.path()).await;
    explains_failures(&host.connect(), two.path()).await;
}

#[tokio::test]
async fn files_on_this_machine() {
    let node = LocalTransport::new(NodeName::new("here").unwrap(), Sudo::No);
    let (one, two) = (Folder::new(), Folder::new());
    replaces_and_reads(&node, one.path()).await;
    explains_failures(&node, two.path()).await;
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let setup = "mkdir -p $DIR/full; mount -t tmpfs -o size=1m tmpfs $DIR/full; echo old > $DIR/full/file";
    let host = Host::with(Wish { setup: setup.to_owned(), ..Wish::default() });
    let node = host.connect();
    let folder = host.folder.join("full");
    let error = node.replace(&image(folder.join("file"), vec![b'x'; 2 * 1024 * 1024])).await.unwrap_err();
    assert!(failed(&error).contains("no space left"), "{error}");
    assert_eq!(node.read(&folder.join("file")).await.unwrap().unwrap(), "old\n");
    let listed = node.exec(&script(&format!("ls -A {folder}"))).await.unwrap();
    assert_eq!(listed.stdout_text(), "file\n");
}

#[tokio::test]
async fn a_connection_cut_while_sending_leaves_the_old_file() {
    let host = Host::start();
    let folder = Folder::new();
    std::fs::write(folder.join("file"), "old").unwrap();
    let node = host.connect();
    let file = image(folder.join("file"), vec![b'x'; 200 * 1024 * 1024]);
    let replace = node.replace(&file);
    let cut = async {
        while names(folder.path()).len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        host.cut();
    };
    let (result, ()) = tokio::join!(replace, cut);
    let error = result.unwrap_err();
    let what = format!("replace {}", file.path);
    assert!(matches!(&error, TransportError::Lost { command, .. } if *command == what), "{error}");
    crate::support::wait_until("the temporary file to go", || names(folder.path()) == ["file"]);
    assert_eq!(std::fs::read(folder.join("file")).unwrap(), b"old");
}
