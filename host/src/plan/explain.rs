//! A plan in words.

use super::{Candidate, Plan, Refusal, Verdict};
use crate::ops::Operation;
use crate::ptx::PtxModule;
use std::fmt;

impl<O: Operation> Plan<O> {
    /// The whole decision as text: the problem, every kernel considered and why it was refused, the
    /// chosen one with its tile, pipeline, registers and shared memory, and the least work there is.
    pub fn explain(&self) -> String {
        self.to_string()
    }

    fn candidate(&self, candidate: &Candidate) -> String {
        let variant = candidate.variant;
        match candidate.verdict {
            Verdict::Eligible { padded_macs } => {
                let made_for = match (variant.more_rows_than, variant.up_to_rows) {
                    (0, u32::MAX) => String::new(),
                    (rows, u32::MAX) => format!(", made for more than {rows} rows an expert"),
                    (rows, most) => format!(", made for {} to {most} rows an expert", rows + 1),
                };
                format!("eligible, {}{} with padding{made_for}", scaled(padded_macs), O::UNIT)
            }
            Verdict::Refused(Refusal::Input) => {
                format!("refused: reads {}", variant.input.name())
            }
            Verdict::Refused(Refusal::Output) => {
                format!("refused: writes {}", variant.output.name())
            }
            Verdict::Refused(Refusal::Arch) => {
                let (major, minor) = self.device().capability;
                format!("refused: needs {}, this is sm_{major}{minor}", variant.arch.name())
            }
            Verdict::Refused(Refusal::SharedMemory) => {
                let (needs, has) = (variant.smem_bytes, self.device().smem_optin_bytes);
                format!("refused: needs {needs} bytes of shared memory, this device has {has}")
            }
            Verdict::Refused(Refusal::FewRows) => {
                let rows = variant.more_rows_than;
                format!("refused: made for more than {rows} rows an expert on average")
            }
            Verdict::Refused(Refusal::ManyRows) => {
                let rows = variant.up_to_rows;
                format!("refused: made for at most {rows} rows an expert on average")
            }
        }
    }
}

impl<O: Operation> fmt::Display for Plan<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p, v) = (self.problem(), self.variant());
        writeln!(f, "{}", v.op.name())?;
        writeln!(f, "  problem   {}", p.describe())?;
        let [rows, _] = p.rows_and_experts();
        if self.expected_rows() != rows {
            writeln!(f, "  expected  {} of {rows} rows", self.expected_rows())?;
        }
        writeln!(f, "  device    {}", self.device())?;
        writeln!(f, "  kernels")?;
        for candidate in self.candidates() {
            let mark = if candidate.variant == v { '>' } else { ' ' };
            let verdict = self.candidate(candidate);
            writeln!(f, "    {mark} {:<26} {verdict}", candidate.variant.symbol)?;
        }
        let [tile_m, tile_n, tile_k] = v.tile;
        let (stages, threads, registers) = (v.stages, v.threads, v.registers);
        writeln!(f, "  tile      {tile_m} x {tile_n} x {tile_k}, {stages} stages")?;
        if let Some(forms) = O::FORMS {
            writeln!(f, "  forms     {forms}")?;
        }
        writeln!(f, "  block     {threads} threads, {registers} registers each at launch")?;
        let (smem, max) = (v.smem_bytes, self.device().smem_optin_bytes);
        writeln!(f, "            {smem} of {max} bytes of shared memory")?;
        if self.is_empty() {
            writeln!(f, "  grid      nothing to launch: no rows or no experts")?;
        } else {
            let tiles = p.max_tiles();
            let (grid, cluster) = (self.grid(), v.cluster);
            write!(f, "  grid      {grid} blocks")?;
            if cluster > 1 {
                write!(f, " in clusters of {cluster}")?;
            }
            let persistent = if O::PERSISTENT { ", persistent" } else { "" };
            writeln!(f, "{persistent}, for up to {tiles} tiles")?;
        }
        let flop = scaled(p.flops());
        let [rows, experts] = p.rows_and_experts();
        let (least, most) = (p.min_bytes(experts.min(1)), p.min_bytes(experts.min(rows)));
        writeln!(f, "  work      {flop}FLOP; at least {}B moved with one active", scaled(least))?;
        writeln!(f, "            expert, {}B with as many as there can be", scaled(most))?;
        match PtxModule::of(v).and_then(|ptx| Ok((ptx.header()?.version, ptx))) {
            Ok((version, ptx)) => {
                write!(f, "  module    {} for {}, PTX {version}", v.module, v.arch.name())?;
                let source = ptx.source_hash().unwrap_or("unknown");
                write!(
                    f,
                    ", fingerprint {:016x}\n            source sha256 {source}",
                    ptx.fingerprint()
                )
            }
            Err(error) => write!(f, "  module    {error}"),
        }
    }
}

/// A number with three or four digits and a decimal prefix.
fn scaled(number: u128) -> String {
    let mut value = number as f64;
    for prefix in ["", "k", "M", "G", "T", "P", "E"] {
        if value < 1000.0 {
            return if prefix.is_empty() {
                format!("{value} ")
            } else {
                format!("{value:.2} {prefix}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.2} Z")
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn numbers_are_scaled() {
        assert_eq!(scaled(0), "0 ");
        assert_eq!(scaled(999), "999 ");
        assert_eq!(scaled(480_000_000_000), "480.00 G");
        assert_eq!(scaled(u128::MAX).split(' ').next_back(), Some("Z"));
    }
}
