//! A grouped MXFP8 product on a device, in guarded memory.

use super::gemm_model::{compare, family};
use super::gemm_problem::{MxProblem, in_atoms};
use super::routing::MxTables;
use crate::gpu::UNTOUCHED;
use crate::guarded::{Around, Guarded, damages};
use expert_gemm::{
    Device, ElementType, GroupStatus, Mxfp8GroupedMm, Mxfp8GroupedMmTensors, Prepared, Result,
    Stream,
};
use std::sync::Arc;

/// What a launch left behind.
pub struct MxOutcome {
    /// The output `[rows, n]`; [`UNTOUCHED`] where nothing was written.
    pub output: Vec<u16>,
    /// The status word.
    pub status: GroupStatus,
    /// Overwritten guard zones, in words.
    pub damage: Vec<String>,
    /// Compute capability of the device.
    pub capability: (u32, u32),
}

impl MxOutcome {
    /// The status if everything is as the contract and the device's model say for these tables, else what is wrong.
    ///
    /// # Errors
    /// Complaints, one a line.
    pub fn judge(
        &self,
        problem: &MxProblem,
        tables: &MxTables,
    ) -> core::result::Result<GroupStatus, String> {
        let mut complaints = self.damage.clone();
        let arch = family(self.capability);
        let difference = compare(problem, arch, tables, &self.output, UNTOUCHED);
        if !difference.is_none() {
            complaints.push(difference.to_string());
        }
        let (got, want) = (self.status, problem.judge(tables).status());
        if got != want {
            complaints.push(format!("status {got:?}, want {want:?}"));
        }
        if complaints.is_empty() { Ok(want) } else { Err(complaints.join("\n  ")) }
    }
}

/// Weights on a device; several problems may share them.
pub struct MxWeights {
    b: Guarded,
    scales: Guarded,
}

impl MxWeights {
    /// Uploads the weights of a problem.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn new(device: &Device, problem: &MxProblem, around: Around) -> Result<Self> {
        let scales = in_atoms(&problem.scales_b, problem.spec.k);
        Ok(Self {
            b: Guarded::within(around, device, "b", &problem.b, 0)?,
            scales: Guarded::within(around, device, "sfb", &scales, 0)?,
        })
    }
}

/// A problem in device memory, with its kernel loaded.
pub struct DeviceMx {
    prepared: Prepared<Mxfp8GroupedMm>,
    output: Guarded,
    a: Guarded,
    scales_a: Guarded,
    weights: Arc<MxWeights>,
    problem_sizes: Guarded,
    expert_offsets: Guarded,
    blockscale_offsets: Guarded,
    status: Guarded,
}

impl DeviceMx {
    /// Uploads a problem and prepares its plan.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn new(device: &Device, problem: &MxProblem, around: Around) -> Result<Self> {
        let weights = Arc::new(MxWeights::new(device, problem, around)?);
        Self::with_weights(device, problem, around, weights)
    }

    /// The same with weights that are there already.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_weights(
        device: &Device,
        problem: &MxProblem,
        around: Around,
        weights: Arc<MxWeights>,
    ) -> Result<Self> {
        let MxTables { groups, scale_offsets } = problem.tables();
        let shape = shape(problem);
        let prepared = device.prepare(&shape.plan(device.info())?)?;
        let untouched = vec![UNTOUCHED; problem.rows() * problem.spec.n];
        let scales = in_atoms(&problem.scales_a, problem.spec.k);
        let new = |name, contents: &[i32], bit: u32| {
            // Tables need no more than 4-byte alignment; the seed picks among all of it.
            let skew = (problem.spec.seed >> bit) % 4 * 4;
            Guarded::within(around, device, name, contents, skew)
        };
        Ok(Self {
            prepared,
            output: Guarded::within(around, device, "output", &untouched, 0)?,
            a: Guarded::within(around, device, "a", &problem.a, 0)?,
            scales_a: Guarded::within(around, device, "sfa", &scales, 0)?,
            weights,
            problem_sizes: new("problem_sizes", groups.sizes.as_flattened(), 0)?,
            expert_offsets: new("expert_offsets", &groups.offsets, 2)?,
            blockscale_offsets: new("blockscale_offsets", &scale_offsets, 4)?,
            status: Guarded::within(around, device, "status", &[0u32], 0)?,
        })
    }

    /// The plan, ready to launch.
    pub const fn prepared(&self) -> &Prepared<Mxfp8GroupedMm> {
        &self.prepared
    }

    /// Views of all tensors.
    pub fn tensors(&self) -> Mxfp8GroupedMmTensors<'_> {
        let Mxfp8GroupedMm { rows, experts, n, k, scale_rows, output } =
            *self.prepared.plan().problem();
        Mxfp8GroupedMmTensors {
            output: self.output.tensor(output, &[rows, n]),
            a: self.a.tensor(ElementType::E4m3, &[rows, k]),
            b: self.weights.b.tensor(ElementType::E4m3, &[experts, n, k]),
            sfa: self.scales_a.tensor(ElementType::E8m0, &[scale_rows, k / 32]),
            sfb: self.weights.scales.tensor(ElementType::E8m0, &[experts, n, k / 32]),
            problem_sizes: self.problem_sizes.tensor(ElementType::I32, &[experts, 3]),
            expert_offsets: self.expert_offsets.tensor(ElementType::I32, &[experts]),
            blockscale_offsets: self.blockscale_offsets.tensor(ElementType::I32, &[experts]),
            status: Some(self.status.tensor(ElementType::U32, &[1])),
        }
    }

    /// Replaces the group tables, and makes output and status as they were before any launch.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn reset(&self, tables: &MxTables) -> Result<()> {
        self.prepared.device().synchronize()?;
        self.problem_sizes.upload(&tables.groups.sizes)?;
        self.expert_offsets.upload(&tables.groups.offsets)?;
        self.blockscale_offsets.upload(&tables.scale_offsets)?;
        self.output.upload(&vec![UNTOUCHED; self.output.bytes as usize / 2])?;
        self.status.upload(&[0u32])
    }

    /// Puts one launch into a stream.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn launch(&self, stream: Stream) -> Result<()> {
        self.prepared.launch(stream, &self.tensors())
    }

    /// Waits for the device, and collects everything.
    ///
    /// # Errors
    /// What the driver answers; a fault of the kernel among it.
    pub fn outcome(&self) -> Result<MxOutcome> {
        self.prepared.device().synchronize()?;
        let damage = damages([
            &self.output,
            &self.a,
            &self.scales_a,
            &self.weights.b,
            &self.weights.scales,
            &self.problem_sizes,
            &self.expert_offsets,
            &self.blockscale_offsets,
            &self.status,
        ])?;
        Ok(MxOutcome {
            output: self.output.download()?,
            status: GroupStatus(self.status.download()?[0]),
            damage,
            capability: self.prepared.device().info().capability,
        })
    }

    /// As [`run`](Self::run), without a status word.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_without_status(&self) -> Result<MxOutcome> {
        let tensors = Mxfp8GroupedMmTensors { status: None, ..self.tensors() };
        self.prepared.launch(Stream::DEFAULT, &tensors)?;
        self.outcome()
    }

    /// One launch on the default stream, and what it left behind.
    ///
    /// # Errors
    /// As [`launch`](Self::launch) and [`outcome`](Self::outcome).
    pub fn run(&self) -> Result<MxOutcome> {
        self.launch(Stream::DEFAULT)?;
        self.outcome()
    }
}

/// The shapes of a problem, as the host crate takes them.
pub fn shape(problem: &MxProblem) -> Mxfp8GroupedMm {
    Mxfp8GroupedMm {
        rows: problem.rows() as u64,
        experts: problem.spec.experts as u64,
        n: problem.spec.n as u64,
        k: problem.spec.k as u64,
        scale_rows: u64::from(problem.routing.scale_rows),
        output: problem.spec.output,
    }
}
