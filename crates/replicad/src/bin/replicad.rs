//! The engine alone, for its own tests and measurements: `replicad serve NAME CONFIG NODE RUN`, `replicad create-md PEERS
//! DEVICE`, `replicad call SOCKET JSON`. What users have is `hactl replica`.

use std::path::Path;
use std::process::ExitCode;

use replicad::control::{Connection, Outcome};
use replicad::disk::{Store, create};
use replicad::settings::Settings;
use replicad::volume::{Paths, Volume};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["serve", name, config, node, run] => serve(name, config, node, run),
        ["create-md", peers, device] => create_md(peers, device),
        ["call", socket, verb] => call(socket, verb),
        ["replica", "guard-device", backend] => {
            replicad::guard_device(backend).map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
        _ => Err("usage: serve NAME CONFIG NODE RUN | create-md PEERS DEVICE | call SOCKET JSON".into()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("replicad: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(name: &str, config: &str, node: &str, run: &str) -> Result<ExitCode, Failure> {
    let paths = Paths::of(name, Some(Path::new(config)), Some(Path::new(run)));
    let settings = Settings::read(&paths.config, name, Some(node))?;
    let mut volume = Volume::new(settings, &paths)?;
    volume.bring_up();
    volume.run()?;
    Ok(ExitCode::SUCCESS)
}

fn create_md(peers: &str, device: &str) -> Result<ExitCode, Failure> {
    create(&Store::open(Path::new(device))?, peers.parse()?, false)?;
    Ok(ExitCode::SUCCESS)
}

fn call(socket: &str, verb: &str) -> Result<ExitCode, Failure> {
    let reply = Connection::open(Path::new(socket))?.call(serde_json::from_str(verb)?)?;
    println!("{}", serde_json::to_string_pretty(&reply)?);
    Ok(if reply.outcome == Outcome::Done { ExitCode::SUCCESS } else { ExitCode::from(5) })
}
