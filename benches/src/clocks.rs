//! SM clock and power while something runs, from `nvidia-smi` in the background.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// Median SM clock and power over an interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reading {
    /// SM clock in MHz.
    pub sm_mhz: f64,
    /// Power in watts.
    pub watts: f64,
}

/// A running observation.
pub struct Clocks {
    child: Child,
    readings: Option<JoinHandle<Vec<Reading>>>,
}

impl Clocks {
    /// Begins to observe a device; `None` where `nvidia-smi` is missing.
    pub fn watch(ordinal: i32) -> Option<Self> {
        let mut child = Command::new("nvidia-smi")
            .args(["--query-gpu=clocks.sm,power.draw", "--format=csv,noheader,nounits"])
            .args(["-lms", "50", "-i", &ordinal.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let stdout = child.stdout.take()?;
        let readings = std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.filter_map(|line| parse(&line)).collect()
        });
        Some(Self { child, readings: Some(readings) })
    }

    /// Ends the observation. The first and the last reading fall outside of the work and are dropped.
    pub fn stop(mut self) -> Option<Reading> {
        self.end();
        let readings = self.readings.take()?.join().ok()?;
        let inner = readings.get(1..readings.len().saturating_sub(1))?;
        let median = |pick: fn(&Reading) -> f64| {
            let mut values: Vec<f64> = inner.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Some(Reading { sm_mhz: median(|r| r.sm_mhz)?, watts: median(|r| r.watts)? })
    }

    fn end(&mut self) {
        // If it has ended already, there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        self.end();
    }
}

fn parse(line: &str) -> Option<Reading> {
    let (clock, power) = line.split_once(',')?;
    Some(Reading { sm_mhz: clock.trim().parse().ok()?, watts: power.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_ignored() {
        assert_eq!(parse("1980, 412.35"), Some(Reading { sm_mhz: 1980.0, watts: 412.35 }));
        assert_eq!(parse("[N/A], [N/A]"), None);
        assert_eq!(parse("No devices were found"), None);
    }
}
