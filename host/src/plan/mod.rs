//! From a problem and a device to one kernel launch: pure, printable, comparable.

mod explain;

use crate::abi::{Op, VARIANTS, Variant};
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::problem::Fp8GroupedMm;

/// Why a kernel cannot serve a problem on a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// It writes another element type.
    Output,
    /// It is built for another GPU family.
    Arch,
    /// It needs more shared memory than the device offers.
    SharedMemory,
}

/// What the planner thinks of one kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It could serve.
    Eligible {
        /// Multiply-adds that the device spends on it, padding and idle multiprocessors included, when
        /// the rows are split as badly as they can be. The lowest wins.
        padded_macs: u128,
    },
    /// It cannot.
    Refused(Refusal),
}

/// One kernel that the planner looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The kernel.
    pub variant: &'static Variant,
    /// What the planner thinks of it.
    pub verdict: Verdict,
}

/// A decision: which kernel, with which grid. Made by [`Fp8GroupedMm::plan`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    problem: Fp8GroupedMm,
    device: DeviceInfo,
    candidates: Vec<Candidate>,
    variant: &'static Variant,
    grid: u32,
}

impl Plan {
    pub(crate) fn new(problem: Fp8GroupedMm, device: &DeviceInfo) -> Result<Self> {
        problem.validate()?;
        let op = Op::Fp8BlockwiseGroupedMm;
        let candidates: Vec<_> = VARIANTS
            .iter()
            .filter(|variant| variant.op == op)
            .map(|variant| Candidate { variant, verdict: judge(variant, &problem, device) })
            .collect();
        let variant = choose(&candidates, device)?;
        let grid = grid(variant, &problem, device);
        Ok(Self { problem, device: device.clone(), candidates, variant, grid })
    }

    /// What is computed.
    pub const fn problem(&self) -> &Fp8GroupedMm {
        &self.problem
    }

    /// The device that the plan is for.
    pub const fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// Every kernel considered, in the order of the variant table.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The kernel chosen.
    pub const fn variant(&self) -> &'static Variant {
        self.variant
    }

    /// Blocks of the launch: persistent, at most one for each multiprocessor, in whole clusters. 0 if
    /// nothing is launched.
    pub const fn grid(&self) -> u32 {
        self.grid
    }

    /// Whether there is nothing to launch, whatever the group tables say.
    pub const fn is_empty(&self) -> bool {
        self.grid == 0
    }

    /// Device memory that a launch needs beyond its tensors, in bytes: none.
    pub const fn workspace_bytes(&self) -> u64 {
        0
    }
}

/// As many clusters as there can be tiles for, and as fit the multiprocessors.
///
/// The blocks of a cluster take neighbouring column blocks, so an odd last one leaves a block idle.
fn grid(variant: &Variant, problem: &Fp8GroupedMm, device: &DeviceInfo) -> u32 {
    if problem.is_empty() {
        return 0;
    }
    let cluster = variant.cluster.max(1);
    let work = problem.max_row_tiles() * problem.n_blocks().div_ceil(u64::from(cluster));
    let room = u64::from((device.sm_count / cluster).max(1));
    work.clamp(1, room) as u32 * cluster
}

fn judge(variant: &Variant, problem: &Fp8GroupedMm, device: &DeviceInfo) -> Verdict {
    if variant.output != problem.output {
        return Verdict::Refused(Refusal::Output);
    }
    if !variant.arch.runs_on(device.capability) {
        return Verdict::Refused(Refusal::Arch);
    }
    if u64::from(variant.smem_bytes) > device.smem_optin_bytes {
        return Verdict::Refused(Refusal::SharedMemory);
    }
    let sms = u64::from(device.sm_count.max(1));
    let waves = problem.max_tiles().div_ceil(sms);
    let [rows, cols, _] = variant.tile.map(u128::from);
    let tile = rows.saturating_mul(cols).saturating_mul(u128::from(problem.k));
    let padded_macs = u128::from(waves).saturating_mul(u128::from(sms)).saturating_mul(tile);
    Verdict::Eligible { padded_macs }
}

fn choose(candidates: &[Candidate], device: &DeviceInfo) -> Result<&'static Variant> {
    let best = candidates
        .iter()
        .filter_map(|candidate| match candidate.verdict {
            Verdict::Eligible { padded_macs } => Some((padded_macs, candidate.variant)),
            Verdict::Refused(_) => None,
        })
        .min_by_key(|(padded_macs, _)| *padded_macs);
    if let Some((_, variant)) = best {
        return Ok(variant);
    }
    let short = candidates.iter().find(|c| c.verdict == Verdict::Refused(Refusal::SharedMemory));
    if let Some(Candidate { variant, .. }) = short {
        return Err(Error::SharedMemory {
            symbol: variant.symbol,
            needed_bytes: u64::from(variant.smem_bytes),
            available_bytes: device.smem_optin_bytes,
        });
    }
    Err(Error::UnsupportedDevice {
        op: "FP8 blockwise grouped GEMM",
        needs: "sm_90a (compute capability 9.0)".to_owned(),
        capability: device.capability,
        name: device.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::ElementType;

    fn problem() -> Fp8GroupedMm {
        Fp8GroupedMm { rows: 8192, experts: 32, n: 4096, k: 7168, output: ElementType::Bf16 }
    }

    #[test]
    fn the_kernel_of_the_output_type_is_chosen() {
        let h200 = DeviceInfo::h200();
        let plan = problem().plan(&h200).expect("plan");
        assert_eq!((plan.variant().symbol, plan.grid()), ("fp8_block_sm90_bf16", 132));
        assert!(plan.grid().is_multiple_of(plan.variant().cluster));
        let f16 = Fp8GroupedMm { output: ElementType::F16, ..problem() }.plan(&h200).expect("plan");
        assert_eq!(f16.variant().symbol, "fp8_block_sm90_f16");
        assert_ne!(plan, f16);
        assert_eq!(plan, problem().plan(&h200).expect("plan"));
    }

    #[test]
    fn small_problems_get_small_grids_and_empty_ones_none() {
        let h200 = DeviceInfo::h200();
        let grid = |rows, experts, n| {
            Fp8GroupedMm { rows, experts, n, ..problem() }.plan(&h200).expect("plan").grid()
        };
        let cluster = VARIANTS[0].cluster;
        assert_eq!(grid(1, 1, 128), cluster);
        assert_eq!(grid(129, 1, 128), 2 * cluster);
        assert_eq!(grid(8, 8, 128), 8 * cluster);
        assert_eq!(grid(1, 512, 4096), 32);
        assert_eq!(grid(1, 512, 128 * 3), 3u32.next_multiple_of(cluster));
        assert_eq!(grid(0, 512, 4096), 0);
        assert_eq!(grid(8192, 0, 4096), 0);
    }

    #[test]
    fn other_devices_are_answered_by_a_sentence() {
        let name = "NVIDIA A10".to_owned();
        let a10 = DeviceInfo { name, capability: (8, 6), ..DeviceInfo::h200() };
        assert_eq!(
            problem().plan(&a10).unwrap_err().to_string(),
            "FP8 blockwise grouped GEMM needs sm_90a (compute capability 9.0); \
             this device is sm_86 (NVIDIA A10)"
        );
        let small = DeviceInfo { smem_optin_bytes: 101_376, ..DeviceInfo::h200() };
        assert!(matches!(problem().plan(&small), Err(Error::SharedMemory { .. })));
    }

    #[test]
    fn the_explanation_names_every_candidate_and_the_reasons() {
        let text = problem().plan(&DeviceInfo::h200()).expect("plan").explain();
        for word in [
            "fp8_block_sm90_bf16",
            "fp8_block_sm90_f16",
            "refused",
            "writes f16",
            "128 x 128 x 128",
            "registers",
            "shared memory",
            "132 blocks",
            "sm_90a",
            "at most 64 rows",
            "FLOP",
        ] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
    }
}
