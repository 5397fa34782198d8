//! What `bench` measures of each operation.

use crate::count::{Cost, Work};
use crate::data::{DeviceWeights, OnDevice};
use crate::measure::{Subject, measure};
use crate::record::CaseRecord;
use crate::shapes::{Case, Group, Set, quant_name};
use crate::timer::Timer;
use crate::verify::{Verified, verify, verify_mxfp8, verify_quant};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use expert_gemm::{Device, ElementType, GroupStatus, Stream};
use expert_gemm_kernels::abi::{Op, VARIANTS, Variant};
use expert_gemm_tests::guarded::Around;
use expert_gemm_tests::mx::gemm_device::{DeviceMx, MxWeights};
use expert_gemm_tests::mx::gemm_problem::{MxProblem, MxSpec};
use expert_gemm_tests::mx::quant_device::DeviceQuant;
use expert_gemm_tests::mx::quant_problem::{QuantProblem, QuantSpec};
use expert_gemm_tests::mx::routing::MxRouting;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::Routing;
use serde::Serialize;
use std::sync::Arc;

/// Rows whose outputs are compared with the models.
pub(crate) const SAMPLED_ROWS: usize = 4;
/// Seed of all data.
pub(crate) const SEED: u64 = 1234;

/// An operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Suite {
    /// `es_fp8_blockwise_scaled_grouped_mm`
    Fp8,
    /// `es_sm100_mxfp8_blockscaled_grouped_quant`
    Mxfp8Quant,
    /// `es_sm100_mxfp8_blockscaled_grouped_mm`
    Mxfp8Mm,
}

impl Suite {
    const fn op(self) -> Op {
        match self {
            Self::Fp8 => Op::Fp8BlockwiseGroupedMm,
            Self::Mxfp8Quant => Op::Mxfp8GroupedQuant,
            Self::Mxfp8Mm => Op::Mxfp8GroupedMm,
        }
    }

    /// Whether a kernel of the operation runs on devices of this compute capability.
    pub fn runs_on(self, capability: (u32, u32)) -> bool {
        VARIANTS.iter().any(|v| v.op == self.op() && v.arch.runs_on(capability))
    }

    /// The cases of a set that are `wanted`, without measuring them.
    pub fn list(self, set: Set, wanted: &dyn Fn(&str) -> bool) -> Vec<Listed> {
        let cases = match self {
            Self::Fp8 | Self::Mxfp8Mm => {
                set.groups().into_iter().flat_map(|(_, cases)| cases).collect()
            }
            Self::Mxfp8Quant => set.quant_cases(),
        };
        let named = cases.into_iter().map(|case| (self.case_name(&case), case));
        named
            .filter(|(name, _)| wanted(name))
            .map(|(name, case)| Listed::new(name, self.cost(&case), case))
            .collect()
    }

    /// What a case is called.
    fn case_name(self, case: &Case) -> String {
        match self {
            Self::Fp8 | Self::Mxfp8Mm => case.to_string(),
            Self::Mxfp8Quant => quant_name(case),
        }
    }

    /// What a case needs at least.
    fn cost(self, case: &Case) -> Cost {
        match self {
            Self::Fp8 => work(case).fp8(),
            Self::Mxfp8Mm => work(case).mxfp8(),
            Self::Mxfp8Quant => work(case).mxfp8_quant(),
        }
    }

    /// Measures the cases of a set whose name is `wanted`.
    ///
    /// # Errors
    /// What the host crate refuses or the driver answers.
    pub fn measure(
        self,
        device: &Device,
        timer: &Timer,
        set: Set,
        wanted: &dyn Fn(&str) -> bool,
        sustained: bool,
    ) -> Result<Vec<CaseRecord>> {
        let mut records = Vec::new();
        match self {
            Self::Fp8 | Self::Mxfp8Mm => {
                let product = if self == Self::Fp8 { fp8 } else { mxfp8 };
                for (group, mut cases) in set.groups() {
                    cases.retain(|case| wanted(&case.to_string()));
                    if !cases.is_empty() {
                        records.extend(product(device, timer, group, &cases, sustained)?);
                    }
                }
            }
            Self::Mxfp8Quant => {
                for case in set.quant_cases().iter().filter(|case| wanted(&quant_name(case))) {
                    records.push(quant(device, timer, case, sustained)?);
                }
            }
        }
        Ok(records)
    }

    /// The operation's name, as records carry it.
    pub const fn op_name(self) -> &'static str {
        self.op().name()
    }
}

/// A case as other programs read it.
#[derive(Serialize)]
pub struct Listed {
    case: String,
    n: usize,
    k: usize,
    rows_per_expert: Vec<u32>,
    flops: f64,
    bytes: f64,
    ideal_us: f64,
}

impl Listed {
    fn new(case_name: String, cost: Cost, case: Case) -> Self {
        let projection = case.group.projection;
        Self {
            case: case_name,
            n: projection.n(),
            k: projection.k(),
            rows_per_expert: case.rows_per_expert,
            flops: cost.flops,
            bytes: cost.bytes,
            ideal_us: cost.ideal_us(),
        }
    }
}

/// The sizes of a case.
pub(crate) fn work(case: &Case) -> Work {
    Work {
        rows: case.rows(),
        live_experts: case.live_experts(),
        n: case.group.projection.n() as u64,
        k: case.group.projection.k() as u64,
    }
}

fn fp8(
    device: &Device,
    timer: &Timer,
    group: Group,
    cases: &[Case],
    sustained: bool,
) -> Result<Vec<CaseRecord>> {
    let spec = Spec {
        experts: group.experts,
        n: group.projection.n(),
        k: group.projection.k(),
        output: ElementType::Bf16,
        seed: SEED,
        ..Spec::PLAIN
    };
    let mut problem = HostProblem::new(spec, Routing::packed(vec![0; group.experts]));
    let weights = DeviceWeights::new(device, &problem)?;
    cases
        .iter()
        .map(|case| {
            problem.reroute(Routing::packed(case.rows_per_expert.clone()));
            let on_device = OnDevice::new(device, &weights, &problem)?;
            let subject = Fp8Product { problem: &problem, on_device };
            measure(timer, case.to_string(), Suite::Fp8.cost(case), &subject, sustained)
                .with_context(|| case.to_string())
        })
        .collect()
}

struct Fp8Product<'a> {
    problem: &'a HostProblem,
    on_device: OnDevice<'a>,
}

impl Subject for Fp8Product<'_> {
    fn variant(&self) -> &'static Variant {
        self.on_device.prepared().plan().variant()
    }

    fn launch(&self, stream: Stream) -> expert_gemm::Result<()> {
        self.on_device.launch(stream)
    }

    fn verify(&self) -> Result<(GroupStatus, Verified)> {
        let status = self.on_device.status()?;
        Ok((status, verify(self.problem, &self.on_device.output()?, SAMPLED_ROWS, false)))
    }
}

fn quant(device: &Device, timer: &Timer, case: &Case, sustained: bool) -> Result<CaseRecord> {
    let name = quant_name(case);
    let spec = QuantSpec {
        experts: case.group.experts,
        k: case.group.projection.k(),
        seed: SEED,
        ..QuantSpec::PLAIN
    };
    let routing = MxRouting::packed(Routing::packed(case.rows_per_expert.clone()));
    let subject = Quantiser::new(device, QuantProblem::new(spec, routing))?;
    measure(timer, name.clone(), Suite::Mxfp8Quant.cost(case), &subject, sustained).context(name)
}

/// A grouped quantisation on the device.
pub struct Quantiser {
    problem: QuantProblem,
    on_device: DeviceQuant,
}

impl Quantiser {
    /// Uploads a problem.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn new(device: &Device, problem: QuantProblem) -> Result<Self> {
        let on_device = DeviceQuant::new(device, &problem, Around::Nothing)?;
        Ok(Self { problem, on_device })
    }
}

impl Subject for Quantiser {
    fn variant(&self) -> &'static Variant {
        self.on_device.prepared().plan().variant()
    }

    fn launch(&self, stream: Stream) -> expert_gemm::Result<()> {
        self.on_device.launch(stream)
    }

    fn verify(&self) -> Result<(GroupStatus, Verified)> {
        let outcome = self.on_device.outcome()?;
        Ok((outcome.status, verify_quant(&self.problem, &outcome.output, SAMPLED_ROWS)))
    }
}

fn mxfp8(
    device: &Device,
    timer: &Timer,
    group: Group,
    cases: &[Case],
    sustained: bool,
) -> Result<Vec<CaseRecord>> {
    let spec = MxSpec {
        experts: group.experts,
        n: group.projection.n(),
        k: group.projection.k(),
        seed: SEED,
        ..MxSpec::PLAIN
    };
    let routed = |rows: Vec<u32>| MxRouting::packed(Routing::packed(rows));
    let mut problem = MxProblem::new(spec, routed(vec![0; group.experts]));
    let weights = Arc::new(MxWeights::new(device, &problem, Around::Nothing)?);
    cases
        .iter()
        .map(|case| {
            problem.reroute(routed(case.rows_per_expert.clone()));
            let weights = Arc::clone(&weights);
            let on_device = DeviceMx::with_weights(device, &problem, Around::Nothing, weights)?;
            let subject = Mxfp8Product { problem: &problem, on_device };
            measure(timer, case.to_string(), Suite::Mxfp8Mm.cost(case), &subject, sustained)
                .with_context(|| case.to_string())
        })
        .collect()
}

struct Mxfp8Product<'a> {
    problem: &'a MxProblem,
    on_device: DeviceMx,
}

impl Subject for Mxfp8Product<'_> {
    fn variant(&self) -> &'static Variant {
        self.on_device.prepared().plan().variant()
    }

    fn launch(&self, stream: Stream) -> expert_gemm::Result<()> {
        self.on_device.launch(stream)
    }

    fn verify(&self) -> Result<(GroupStatus, Verified)> {
        let outcome = self.on_device.outcome()?;
        let arch = self.variant().arch;
        Ok((outcome.status, verify_mxfp8(self.problem, arch, &outcome.output, SAMPLED_ROWS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_what_a_program_needs_to_measure_the_same() {
        let wanted = |name: &str| name == "dsv3_gateup/E32/M8/zipf";
        let listed = serde_json::to_value(Suite::Fp8.list(Set::Peers, &wanted)).unwrap();
        let [case] = listed.as_array().unwrap().as_slice() else { panic!("{listed}") };
        assert_eq!((&case["n"], &case["k"]), (&4096.into(), &7168.into()));
        let rows = case["rows_per_expert"].as_array().unwrap();
        assert_eq!(rows.iter().filter_map(serde_json::Value::as_u64).sum::<u64>(), 256);
        assert!(case["ideal_us"].as_f64().is_some_and(|us| (us - 202.9).abs() < 0.1), "{case}");
        let any = |_: &str| true;
        assert_eq!(Suite::Mxfp8Quant.list(Set::Peers, &any).len(), 17);
    }
}
