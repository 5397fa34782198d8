//! What is written down: `benches/record/<gpu>/<date>.json`.

use crate::peers::{OpPeers, PeerTime};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// Where and how it was measured.
    pub meta: Meta,
    /// What was measured.
    pub cases: Vec<CaseRecord>,
}

/// Where and how a run was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    /// Name of the GPU.
    pub gpu: String,
    /// Version of the driver, and of the CUDA that it supports.
    pub driver: String,
    /// Largest SM clock in MHz, as set on the machine.
    pub clocks: Option<f64>,
    /// Power limit in watts.
    pub watts: Option<f64>,
    /// Day of the run, UTC.
    pub date: String,
    /// Commit that was measured.
    pub commit: String,
    /// How times were taken.
    pub method: String,
    /// What this chip does at best, measured in the same run.
    pub ceiling: Ceiling,
    /// Peers that were measured in the same run, by operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<OpPeers>,
}

/// Ceilings measured in the run.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Ceiling {
    /// Reading 4 GiB, each byte once, in GB/s.
    pub read_gbps: f64,
    /// Copying 1 GiB within the device by the driver, bytes read and written, in GB/s.
    pub copy_gbps: f64,
    /// Microseconds of a kernel that reads one chunk of 16 KiB: the least that this method can show.
    pub floor_us: f64,
}

/// One case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CaseRecord {
    /// Operation.
    pub op: String,
    /// Name of the case.
    pub case: String,
    /// Kernel that ran.
    pub kernel: String,
    /// Median microseconds, cache flushed before each.
    pub us: f64,
    /// Fastest of these.
    pub us_min: f64,
    /// Slowest of these.
    pub us_max: f64,
    /// Number of these.
    pub replays: usize,
    /// Mean microseconds back to back for half a second, if that was measured.
    pub us_sustained: Option<f64>,
    /// SM clock in MHz meanwhile.
    pub sm_mhz_sustained: Option<f64>,
    /// Power in watts meanwhile.
    pub watts_sustained: Option<f64>,
    /// TFLOP/s at `us`.
    pub tflops: f64,
    /// GB/s at `us`, of the bytes that have to move.
    pub gbps: f64,
    /// Microseconds of an ideal kernel.
    pub ideal_us: f64,
    /// Outputs of sampled rows that equal the bit model.
    pub outputs_equal: usize,
    /// Outputs of sampled rows.
    pub outputs_sampled: usize,
    /// Peers, by column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<String, PeerTime>,
}

impl Meta {
    /// One line: which machine, when, which commit.
    pub fn title(&self) -> String {
        let Self { gpu, driver, date, commit, .. } = self;
        format!("{gpu}, driver {driver}, {date}, commit {commit}")
    }
}

impl CaseRecord {
    /// What tells cases apart.
    pub fn key(&self) -> (&str, &str) {
        (&self.op, &self.case)
    }

    /// Operation and case, short enough for a table.
    pub fn title(&self) -> String {
        let op = if self.op.contains("mxfp8_blockscaled_grouped_mm") { "mxfp8/" } else { "" };
        format!("{op}{}", self.case)
    }
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// If there is no such file, or it holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no record of a run", path.display()))
    }

    /// Writes the record. Cases that the file already holds and that were not measured again stay.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut merged = self.clone();
        if path.exists() {
            let old = Self::read(path)?;
            let fresh = |old: &CaseRecord| self.cases.iter().any(|new| new.key() == old.key());
            merged.cases.extend(old.cases.into_iter().filter(|old| !fresh(old)));
        }
        merged.cases.sort_by(|p, q| p.key().cmp(&q.key()));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(&merged)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Where the record of a GPU and a day belongs, relative to the workspace.
    pub fn default_path(gpu: &str, name: &str) -> PathBuf {
        ["benches", "record", &slug(gpu), &format!("{name}.json")].iter().collect()
    }
}

/// `NVIDIA H200` becomes `h200`.
pub fn slug(gpu: &str) -> String {
    gpu.trim_start_matches("NVIDIA ").to_lowercase().replace(|c: char| !c.is_alphanumeric(), "-")
}

/// Today, UTC, as `2026-01-31`.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date_of(seconds / 86_400)
}

/// Day number since 1970 to a date of the Gregorian calendar, by eras of 400 years from March 1st.
fn date_of(day: u64) -> String {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + next)
}

/// The commit of the working tree: `EXPERT_GEMM_COMMIT`, or what git says, or `unknown`.
pub fn commit() -> String {
    std::env::var("EXPERT_GEMM_COMMIT")
        .ok()
        .or_else(|| first_line("git", &["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// One field of `nvidia-smi --query-gpu`.
pub fn smi(ordinal: i32, field: &str) -> Option<String> {
    let query = format!("--query-gpu={field}");
    first_line("nvidia-smi", &[&query, "--format=csv,noheader,nounits", "-i", &ordinal.to_string()])
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date_of(0), "1970-01-01");
        assert_eq!(date_of(11_016), "2000-02-29");
        assert_eq!(date_of(20_780), "2026-11-23");
    }

    #[test]
    fn names_become_folders() {
        let path = Record::default_path("NVIDIA H200", "2026-11-23");
        assert!(path.ends_with("benches/record/h200/2026-11-23.json"));
        assert_eq!(slug("NVIDIA GH200 480GB"), "gh200-480gb");
    }

    #[test]
    fn writing_keeps_cases_that_were_not_measured_again() {
        let path =
            std::env::temp_dir().join(format!("expert-gemm-record-{}.json", std::process::id()));
        let case = |name: &str, us| CaseRecord { case: name.into(), us, ..CaseRecord::default() };
        let record = |cases| Record { cases, ..Record::default() };
        record(vec![case("b", 1.0), case("a", 2.0)]).write(&path).unwrap();
        record(vec![case("b", 3.0)]).write(&path).unwrap();
        let read = Record::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let cases: Vec<(&str, f64)> = read.cases.iter().map(|c| (&*c.case, c.us)).collect();
        assert_eq!(cases, [("a", 2.0), ("b", 3.0)]);
    }
}
