//! What a person sends back: a text to read, and the same as JSON.

use crate::fact::{Fact, Standing, Verdict};
use expert_gemm::DeviceInfo;
use expert_gemm::ptx::PtxModule;
use expert_gemm_kernels::abi::{ABI_VERSION, VARIANTS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything that was found out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was asked, and by what.
    pub head: Head,
    /// The answers.
    pub facts: Vec<Answer>,
}

/// What was asked, and by what.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Name of the device.
    pub device: String,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// CUDA version that the driver supports.
    pub cuda: String,
    /// What the kernel driver says of itself, where it does.
    pub driver: Option<String>,
    /// The commit that the program was built from, if its builder said so.
    pub commit: Option<String>,
    /// Version of the contract between host and device.
    pub abi: u32,
    /// Fingerprints of the PTX modules that this device would run.
    pub modules: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub unix_time: u64,
}

/// One answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Name of the fact.
    pub id: String,
    /// What should be so.
    pub claim: String,
    /// Where the sources rely on it.
    pub relied_on: String,
    /// Whether anything does.
    pub standing: Standing,
    /// What is so.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// How it all ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything that could be asked was, and is so.
    Confirmed,
    /// Something that a kernel relies on is not so.
    Refuted,
    /// Something that should have been asked was not, or there was nothing to ask.
    NotRun,
}

impl Head {
    /// Of this program, about a device.
    pub fn new(info: &DeviceInfo) -> Self {
        let mine = VARIANTS.iter().filter(|variant| variant.arch.runs_on(info.capability));
        let module = |variant| {
            let module = PtxModule::of(variant).ok()?;
            Some((module.name.to_owned(), format!("{:016x}", module.fingerprint())))
        };
        let driver = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
        Self {
            device: info.name.clone(),
            capability: info.capability,
            multiprocessors: info.sm_count,
            cuda: info.driver_version.to_string(),
            driver: driver.and_then(|text| text.lines().next().map(|line| line.trim().to_owned())),
            commit: option_env!("EXPERT_GEMM_COMMIT").map(str::to_owned),
            abi: ABI_VERSION,
            modules: mine.filter_map(module).collect(),
            unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()),
        }
    }
}

impl Answer {
    /// The answer to a question about a fact.
    pub fn new(fact: &Fact, verdict: Verdict, ms: u64) -> Self {
        Self {
            id: fact.id.to_owned(),
            claim: fact.claim.to_owned(),
            relied_on: fact.relied_on.to_owned(),
            standing: fact.standing,
            verdict,
            ms,
        }
    }

    /// One word for it.
    const fn word(&self) -> &'static str {
        match (&self.verdict, self.standing) {
            (Verdict::Confirmed { .. }, Standing::Assumed) => "confirmed",
            (Verdict::Refuted { .. }, Standing::Assumed) => "REFUTED",
            (Verdict::Confirmed { .. }, Standing::Open) => "open: yes",
            (Verdict::Refuted { .. }, Standing::Open) => "open: no",
            (Verdict::NotRun { .. }, _) => "not run",
        }
    }
}

impl Report {
    /// How it ended. `asked` says which facts the device should have answered.
    pub fn outcome(&self, asked: impl Fn(&str) -> bool) -> Outcome {
        let assumed = || self.facts.iter().filter(|answer| answer.standing == Standing::Assumed);
        let unanswered = self.facts.iter().filter(|answer| asked(&answer.id));
        if assumed().any(|answer| answer.verdict.is_refuted()) {
            Outcome::Refuted
        } else if unanswered.clone().any(|a| matches!(a.verdict, Verdict::NotRun { .. }))
            || !assumed().any(|answer| answer.verdict.is_confirmed())
        {
            Outcome::NotRun
        } else {
            Outcome::Confirmed
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, capability: (major, minor), multiprocessors, cuda, abi, .. } = self;
        writeln!(
            f,
            "device   {device}, compute capability {major}.{minor}, {multiprocessors} SMs"
        )?;
        writeln!(
            f,
            "driver   CUDA {cuda}; {}",
            self.driver.as_deref().unwrap_or("no more is known")
        )?;
        let commit = self.commit.as_deref().unwrap_or("unknown");
        writeln!(f, "program  commit {commit}, ABI {abi}, {}", std::env::consts::ARCH)?;
        let modules = self.modules.iter().map(|(name, print)| format!("{name} {print}"));
        writeln!(f, "PTX      {}", modules.collect::<Vec<_>>().join("\n         "))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, verdict, ms, .. } = self;
        write!(f, "{:<10} {id:<24} {verdict}", self.word())?;
        if *ms > 0 {
            write!(f, " ({ms} ms)")?;
        }
        if verdict.is_refuted() {
            write!(
                f,
                "\n           claim: {}\n           relied on by: {}",
                self.claim, self.relied_on
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |word: &str| self.facts.iter().filter(|answer| answer.word() == word).count();
        write!(
            f,
            "{} confirmed, {} refuted, {} not run; {} open questions answered",
            count("confirmed"),
            count("REFUTED"),
            count("not run"),
            count("open: yes") + count("open: no"),
        )
    }
}
