//! What cargo has built: its messages name the files.

use std::path::PathBuf;

use anyhow::Result;
use serde::Deserialize;

use crate::{process, selftest, workspace};

/// What cargo says about something it built.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    target: Option<Target>,
}

/// The target of a message.
#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds with cargo, optimised, and returns what a machine without cargo can use: programs by their names, and
/// libraries for C by their file names.
pub(crate) fn build(arguments: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let mut command = workspace::cargo();
    selftest::stamp(&mut command);
    command.args(arguments).args(["--release", "--quiet", "--message-format=json"]);
    let (messages, _) = process::capture(&mut command, "building the programs")?;
    Ok(artifacts(&messages))
}

/// Target names are stable, the file names of programs carry a hash.
fn artifacts(messages: &str) -> Vec<(String, PathBuf)> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .flat_map(|message| {
            let Some(target) = message.target else { return Vec::new() };
            if let Some(program) = message.executable {
                return vec![(target.name, program)];
            }
            let for_c = |path: &PathBuf| {
                path.extension().is_some_and(|extension| extension == "so" || extension == "a")
            };
            let named =
                |path: PathBuf| Some((path.file_name()?.to_string_lossy().into_owned(), path));
            message.filenames.into_iter().filter(for_c).filter_map(named).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_libraries_are_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"lib"},"executable":null,"filenames":["/t/lib.rlib"]}
{"reason":"compiler-artifact","target":{"name":"gpu"},"executable":"/t/gpu-0123","filenames":["/t/gpu-0123"]}
{"reason":"compiler-artifact","target":{"name":"x"},"executable":null,"filenames":["/t/libx.so","/t/libx.a"]}
not json
{"reason":"build-finished","success":true}"#;
        let found = artifacts(messages);
        let expected = [("gpu", "/t/gpu-0123"), ("libx.so", "/t/libx.so"), ("libx.a", "/t/libx.a")];
        assert_eq!(found, expected.map(|(name, path)| (name.to_owned(), PathBuf::from(path))));
    }
}
