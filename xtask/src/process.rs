//! Child processes: with a spinner while they are quiet, and with their own words when they fail.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::ui;

/// Runs a command with its output held back, and returns standard output and standard error as one
/// text each. The error of a failed command carries the end of what it said.
pub(crate) fn capture(command: &mut Command, doing: &str) -> Result<(String, String)> {
    let _spinner = ui::spinner(doing);
    let output =
        command.output().with_context(|| format!("{doing}: cannot start {}", name(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        let said = if stderr.trim().is_empty() { &stdout } else { &stderr };
        bail!("{doing}: {} failed ({})\n{}", name(command), output.status, tail(said, 60));
    }
    Ok((stdout, stderr))
}

/// Runs a command that speaks to the user itself.
pub(crate) fn stream(command: &mut Command, doing: &str) -> Result<()> {
    let status =
        command.status().with_context(|| format!("{doing}: cannot start {}", name(command)))?;
    if !status.success() {
        bail!("{doing}: {} failed ({status})", name(command));
    }
    Ok(())
}

fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_keeps_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\n", 2), "a");
        assert_eq!(tail("", 2), "");
    }

    #[test]
    fn a_failed_command_is_quoted() {
        let error = capture(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), "testing")
            .expect_err("exit status 3");
        let text = format!("{error:#}");
        assert!(text.contains("testing") && text.contains("why"), "{text}");
    }
}
