//! A grouped quantisation on a device, in guarded memory.

use super::quant_model::{QuantOutput, UNTOUCHED_SCALE, compare};
use super::quant_problem::QuantProblem;
use super::routing::MxTables;
use crate::guarded::{Around, GUARD_BYTE, Guarded, damages};
use expert_gemm::{
    Device, ElementType, GroupStatus, Mxfp8GroupedQuant, Mxfp8GroupedQuantTensors, Prepared,
    Result, Stream,
};

/// What a launch left behind.
pub struct QuantOutcome {
    /// Codes and scales.
    pub output: QuantOutput,
    /// The status word.
    pub status: GroupStatus,
    /// Overwritten guard zones, in words.
    pub damage: Vec<String>,
}

impl QuantOutcome {
    /// The status if everything is as the contract says for these tables, else what is wrong.
    ///
    /// # Errors
    /// Complaints, one a line.
    pub fn judge(
        &self,
        problem: &QuantProblem,
        tables: &MxTables,
    ) -> core::result::Result<GroupStatus, String> {
        let judged = problem.judge(tables);
        let difference = compare(problem, &judged, &self.output);
        let mut complaints = self.damage.clone();
        if !difference.is_none() {
            complaints.push(difference.to_string());
        }
        let (got, want) = (self.status, judged.status());
        if got != want {
            complaints.push(format!("status {got:?}, want {want:?}"));
        }
        if complaints.is_empty() { Ok(want) } else { Err(complaints.join("\n  ")) }
    }
}

/// A problem in device memory, with its kernel loaded.
pub struct DeviceQuant {
    prepared: Prepared<Mxfp8GroupedQuant>,
    input: Guarded,
    codes: Guarded,
    scales: Guarded,
    problem_sizes: Guarded,
    expert_offsets: Guarded,
    blockscale_offsets: Guarded,
    status: Guarded,
}

impl DeviceQuant {
    /// Uploads a problem and prepares its plan.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn new(device: &Device, problem: &QuantProblem, around: Around) -> Result<Self> {
        let MxTables { groups, scale_offsets } = problem.tables();
        let shape = shape(problem);
        let prepared = device.prepare(&shape.plan(device.info())?)?;
        let codes = vec![GUARD_BYTE; (shape.rows * shape.k) as usize];
        let scales = vec![UNTOUCHED_SCALE; problem.scale_bytes()];
        // Tables need no more than 4-byte alignment; the seed picks among all of it.
        let skew = |bit: u32| (problem.spec.seed >> bit) % 4 * 4;
        Ok(Self {
            prepared,
            input: Guarded::within(around, device, "input", &problem.input, 0)?,
            codes: Guarded::within(around, device, "quant_output", &codes, 0)?,
            scales: Guarded::within(around, device, "scale_factor", &scales, 0)?,
            problem_sizes: Guarded::within(
                around,
                device,
                "problem_sizes",
                &groups.sizes,
                skew(0),
            )?,
            expert_offsets: Guarded::within(
                around,
                device,
                "expert_offsets",
                &groups.offsets,
                skew(2),
            )?,
            blockscale_offsets: Guarded::within(
                around,
                device,
                "blockscale_offsets",
                &scale_offsets,
                skew(4),
            )?,
            status: Guarded::within(around, device, "status", &[0u32], 0)?,
        })
    }

    /// The plan, ready to launch.
    pub const fn prepared(&self) -> &Prepared<Mxfp8GroupedQuant> {
        &self.prepared
    }

    /// Views of all tensors.
    pub fn tensors(&self) -> Mxfp8GroupedQuantTensors<'_> {
        let Mxfp8GroupedQuant { rows, experts, k, scale_rows, input, .. } =
            *self.prepared.plan().problem();
        Mxfp8GroupedQuantTensors {
            input: self.input.tensor(input, &[rows, k]),
            problem_sizes: self.problem_sizes.tensor(ElementType::I32, &[experts, 3]),
            expert_offsets: self.expert_offsets.tensor(ElementType::I32, &[experts]),
            blockscale_offsets: self.blockscale_offsets.tensor(ElementType::I32, &[experts]),
            quant_output: self.codes.tensor(ElementType::E4m3, &[rows, k]),
            scale_factor: self.scales.tensor(ElementType::E8m0, &[scale_rows, k / 32]),
            status: Some(self.status.tensor(ElementType::U32, &[1])),
        }
    }

    /// Replaces the elements, after the work that reads them.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn replace_input(&self, input: &[u16]) -> Result<()> {
        self.prepared.device().synchronize()?;
        self.input.upload(input)
    }

    /// Replaces the group tables, and makes outputs and status as they were before any launch.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn reset(&self, tables: &MxTables) -> Result<()> {
        self.replace_tables(tables)?;
        self.codes.upload(&vec![GUARD_BYTE; self.codes.bytes as usize])?;
        self.scales.upload(&vec![UNTOUCHED_SCALE; self.scales.bytes as usize])?;
        self.status.upload(&[0u32])
    }

    /// Replaces the group tables alone, after the work that reads them.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn replace_tables(&self, tables: &MxTables) -> Result<()> {
        self.prepared.device().synchronize()?;
        self.problem_sizes.upload(&tables.groups.sizes)?;
        self.expert_offsets.upload(&tables.groups.offsets)?;
        self.blockscale_offsets.upload(&tables.scale_offsets)
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
    pub fn outcome(&self) -> Result<QuantOutcome> {
        self.prepared.device().synchronize()?;
        let damage = damages([
            &self.input,
            &self.codes,
            &self.scales,
            &self.problem_sizes,
            &self.expert_offsets,
            &self.blockscale_offsets,
            &self.status,
        ])?;
        let output = QuantOutput { codes: self.codes.download()?, scales: self.scales.download()? };
        Ok(QuantOutcome { output, status: GroupStatus(self.status.download()?[0]), damage })
    }

    /// As [`run`](Self::run), without a status word.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_without_status(&self) -> Result<QuantOutcome> {
        let tensors = Mxfp8GroupedQuantTensors { status: None, ..self.tensors() };
        self.prepared.launch(Stream::DEFAULT, &tensors)?;
        self.outcome()
    }

    /// One launch on the default stream, and what it left behind.
    ///
    /// # Errors
    /// As [`launch`](Self::launch) and [`outcome`](Self::outcome).
    pub fn run(&self) -> Result<QuantOutcome> {
        self.launch(Stream::DEFAULT)?;
        self.outcome()
    }
}

/// The shapes of a problem, as the host crate takes them.
pub fn shape(problem: &QuantProblem) -> Mxfp8GroupedQuant {
    Mxfp8GroupedQuant {
        rows: problem.rows() as u64,
        experts: problem.spec.experts as u64,
        k: problem.spec.k as u64,
        scale_rows: u64::from(problem.routing.scale_rows),
        input: problem.spec.input,
        rule: problem.spec.rule,
    }
}
