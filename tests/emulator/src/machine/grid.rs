//! A program, and launches of it.

use super::cluster::{Cluster, Env};
use crate::ir::Code;
use crate::memory::global::Global;
use crate::options::{Options, Stats};
use crate::report::Report;
use crate::source::Source;
use crate::syntax::{SyntaxError, parser};
use rayon::prelude::*;
use std::fmt;
use std::time::Instant;

/// A PTX module, ready to run.
#[derive(Clone, Debug)]
pub struct Program {
    kernels: Vec<Code>,
    target: String,
    source: Source,
}

impl Program {
    /// Parses and lowers PTX text.
    ///
    /// # Errors
    ///
    /// The first thing that is not known, with its line.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let module = parser::parse(text)?;
        let kernels = crate::lower::lower(&module)?;
        Ok(Self { kernels, target: module.target, source: Source::new(text) })
    }

    /// A kernel by name.
    pub fn kernel(&self, name: &str) -> Option<&Code> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// Its `.target`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// All kernels.
    pub fn kernels(&self) -> &[Code] {
        &self.kernels
    }
}

/// A launch.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// CTAs in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a CTA.
    pub block: [u32; 3],
    /// CTAs of a cluster; all 1 for what the kernel requires.
    pub cluster: [u32; 3],
    /// Dynamic shared memory in bytes.
    pub smem_bytes: u32,
    /// The parameters' bytes.
    pub params: &'a [u8],
}

/// Why a launch was refused before anything ran.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaunchError(pub String);

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LaunchError {}

/// Runs kernels on memory.
#[derive(Debug)]
pub struct Emulator {
    /// How to run.
    pub options: Options,
    /// Global memory.
    pub memory: Global,
    launches: u32,
}

impl Emulator {
    /// An emulator with empty memory.
    pub fn new(options: Options) -> Self {
        let memory = Global::of_device(options.ordinal);
        Self { options, memory, launches: 0 }
    }

    /// Runs a kernel to its end, or until it is stopped. Clusters run in parallel; the result does not
    /// depend on that, as long as they do not race.
    ///
    /// # Errors
    ///
    /// A launch that no driver would take. What goes wrong while running is in the reports.
    pub fn launch(
        &mut self,
        program: &Program,
        entry: &str,
        launch: &Launch<'_>,
    ) -> Result<(Vec<Report>, Stats), LaunchError> {
        let refuse = |message: String| Err(LaunchError(message));
        let Some(code) = program.kernel(entry) else {
            return refuse(format!("no kernel `{entry}`"));
        };
        let mut cluster = launch.cluster;
        if let Some(required) = code.cluster {
            if cluster != [1; 3] && cluster != required {
                return refuse(format!("clusters of {cluster:?}, but {required:?} are required"));
            }
            cluster = required;
        }
        let threads = launch.block.iter().product::<u32>();
        if threads == 0 || threads > 1024 || launch.grid.contains(&0) {
            return refuse(format!("grid {:?}, block {:?}", launch.grid, launch.block));
        }
        if let Some(max) = code.max_threads {
            let most = max.iter().product::<u32>();
            if threads > most || code.exact_threads && launch.block != max {
                return refuse(format!("{threads} threads, but the kernel is built for {most}"));
            }
        }
        if (0..3).any(|i| !launch.grid[i].is_multiple_of(cluster[i])) {
            return refuse(format!("grid {:?} is no multiple of {cluster:?}", launch.grid));
        }
        if (launch.params.len() as u64) < code.param_bytes {
            let given = launch.params.len();
            return refuse(format!("{given} bytes of parameters, {} are needed", code.param_bytes));
        }
        let limit = 232_448;
        if u64::from(launch.smem_bytes) + code.static_shared > limit {
            return refuse(format!("{} bytes of shared memory", launch.smem_bytes));
        }
        self.launches += 1;
        let start = Instant::now();
        let env = Env {
            code,
            memory: &self.memory,
            options: &self.options,
            params: launch.params,
            grid: launch.grid,
            block: launch.block,
            cluster,
            smem_bytes: launch.smem_bytes,
            launch: self.launches,
        };
        let count = launch.grid.iter().product::<u32>() / cluster.iter().product::<u32>();
        let results: Vec<_> =
            (0..count).into_par_iter().map(|id| Cluster::new(env, id).run()).collect();
        let mut stats = Stats { launches: 1, wall: start.elapsed(), ..Stats::default() };
        let mut reports: Vec<Report> = Vec::new();
        for (found, took) in results {
            stats.add(&took);
            for report in found {
                let same = |r: &&mut Report| r.kind == report.kind && r.lines == report.lines;
                match reports.iter_mut().find(same) {
                    Some(first) => first.times += report.times,
                    None => reports.push(report),
                }
            }
        }
        reports.truncate(self.options.max_reports.max(1));
        for report in &mut reports {
            report.places = report.lines.iter().map(|&line| program.source.place(line)).collect();
        }
        Ok((reports, stats))
    }
}
