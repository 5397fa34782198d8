//! The kernels of the lessons (`docs/lessons`), measured as the shipped one is, and their figures in the pages.

use crate::data::{DeviceWeights, OnDevice};
use crate::measure::{Subject, measure};
use crate::models::{Model, Part, Projection};
use crate::record::CaseRecord;
use crate::shapes::{Case, Distribution, Group};
use crate::suites::{SAMPLED_ROWS, SEED, work};
use crate::timer::Timer;
use crate::verify::{Verified, sample, verify};
use anyhow::{Context as _, Result, ensure};
use expert_gemm::{Device, ElementType, GroupStatus, Stream};
use expert_gemm_kernels::abi::Variant;
use expert_gemm_tests::cpu;
use expert_gemm_tests::gpu::UNTOUCHED;
use expert_gemm_tests::lessons::Lesson;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::Routing;

mod pages;

pub use pages::{figures, fill_pages};

/// The cases by name; all are of the gate and up projections of DeepSeek-V3, N 4096 and K 7168.
const CASES: [(&str, usize, u32, Distribution); 3] = [
    ("prefill", 8, 1024, Distribution::Balanced),
    ("decode", 32, 8, Distribution::Balanced),
    ("skewed", 32, 64, Distribution::Zipf),
];

fn case(experts: usize, mean_rows: u32, distribution: Distribution) -> Case {
    let projection = Projection { model: Model::DeepseekV3, part: Part::GateUp };
    Case::new(Group { projection, experts }, mean_rows, distribution)
}

/// A lesson's kernel on a problem, or the shipped kernel.
struct Product<'a> {
    /// `None` for the shipped kernel.
    lesson: Option<&'a Lesson>,
    problem: &'a HostProblem,
    on_device: OnDevice<'a>,
}

impl Subject for Product<'_> {
    fn variant(&self) -> &'static Variant {
        self.lesson.map_or_else(|| self.on_device.prepared().plan().variant(), Lesson::variant)
    }

    fn launch(&self, stream: Stream) -> expert_gemm::Result<()> {
        let Self { lesson, on_device, .. } = self;
        match lesson {
            Some(lesson) => {
                let shape = on_device.prepared().plan().problem();
                lesson.launch(stream, shape, &on_device.tensors())
            }
            None => on_device.launch(stream),
        }
    }

    fn verify(&self) -> Result<(GroupStatus, Verified)> {
        let (problem, output) = (self.problem, self.on_device.output()?);
        let judged = match self.lesson {
            Some(lesson) if lesson.adds_in_f32() => verify_f32(problem, &output, SAMPLED_ROWS),
            _ => verify(problem, &output, SAMPLED_ROWS, false),
        };
        Ok((self.on_device.status()?, judged))
    }
}

/// Compares `count` rows of an output with what the CPU backend promises.
fn verify_f32(problem: &HostProblem, output: &[u16], count: usize) -> Verified {
    let n = problem.spec.n;
    let (mut equal, mut sampled) = (0, 0);
    for (expert, row) in sample(&problem.routing, count) {
        let got = &output[row * n..][..n];
        for (column, &got) in got.iter().enumerate() {
            let (a, b) = (problem.a_row(row), problem.b_rows(expert, column, 1));
            let scales = [problem.scales_a_row(row), problem.scales_b_row(expert, column)];
            equal +=
                usize::from(cpu::model(a, b, scales[0], scales[1], problem.spec.output) == got);
        }
        sampled += n;
    }
    Verified { equal, sampled, relative_error: None }
}

/// Runs every lesson once on a small problem with ragged and empty groups, and compares every output bit.
///
/// # Errors
/// If a bit differs, or what the driver answers.
pub fn check(device: &Device, lessons: &[Lesson]) -> Result<()> {
    let rows = vec![0, 129, 8, 64, 33, 0, 1];
    let spec = Spec { experts: rows.len(), n: 256, k: 896, seed: SEED, ..Spec::PLAIN };
    let problem = HostProblem::new(spec, Routing::packed(rows));
    let weights = DeviceWeights::new(device, &problem)?;
    for lesson in lessons {
        let on_device = OnDevice::new(device, &weights, &problem)?;
        let product = Product { lesson: Some(lesson), problem: &problem, on_device };
        product.launch(Stream::DEFAULT)?;
        let output = product.on_device.output()?;
        let difference = lesson.compare(&problem, &problem.tables(), &output, UNTOUCHED)?;
        let symbol = lesson.variant().symbol;
        ensure!(difference.is_none(), "{symbol}: {difference}");
        let of = if lesson.adds_in_f32() { "the CPU backend" } else { "the tensor core's model" };
        println!("{symbol}: {} outputs, every bit as {of} has it", difference.compared);
    }
    Ok(())
}

/// Measures all lessons and then the shipped kernel, on those of the cases whose name is `wanted`: `<case>/<kernel>`.
///
/// # Errors
/// What the driver answers.
pub fn measure_all(
    device: &Device,
    timer: &Timer,
    lessons: &[Lesson],
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<CaseRecord>> {
    let mut records = Vec::new();
    for (name, experts, mean_rows, distribution) in CASES {
        let case = case(experts, mean_rows, distribution);
        let (n, k) = (case.group.projection.n(), case.group.projection.k());
        let spec = Spec { experts, n, k, output: ElementType::Bf16, seed: SEED, ..Spec::PLAIN };
        let problem = HostProblem::new(spec, Routing::packed(case.rows_per_expert.clone()));
        let weights = DeviceWeights::new(device, &problem)?;
        for lesson in lessons.iter().map(Some).chain([None]) {
            let on_device = OnDevice::new(device, &weights, &problem)?;
            let product = Product { lesson, problem: &problem, on_device };
            let name = format!("{name}/{}", product.variant().symbol);
            if wanted(&name) {
                let cost = work(&case).fp8();
                let record = measure(timer, name.clone(), cost, &product, false);
                records.push(record.with_context(|| name)?);
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm::driver::mock::MockDriver;
    use expert_gemm_tests::{lessons, wgmma_model};

    #[test]
    fn a_driver_that_runs_nothing_is_found_wrong() {
        let device = Device::with_driver(MockDriver::h200().shared());
        let lessons = lessons::load(&device).expect("loaded");
        let error = check(&device, &lessons).expect_err("nothing ran").to_string();
        assert!(error.contains("lesson_1_naive") && error.contains("differ"), "{error}");
    }

    #[test]
    fn the_two_ways_to_add_are_told_apart() {
        let problem = Spec { total_rows: 12, ..Spec::PLAIN }.build();
        let (f32, _) = cpu::run(&problem, &problem.tables(), UNTOUCHED).expect("ran");
        let judged = verify_f32(&problem, &f32, 4);
        assert_eq!((judged.equal, judged.sampled), (4 * 256, 4 * 256));
        let tensor_core = wgmma_model::grouped(&problem, UNTOUCHED);
        assert!(verify_f32(&problem, &tensor_core, 4).equal < 4 * 256);
    }

    #[test]
    fn the_cases_are_those_of_the_records() {
        let names: Vec<String> = CASES.map(|(_, e, m, d)| case(e, m, d).to_string()).into();
        let of = |rest: &str| format!("dsv3_gateup/{rest}");
        assert_eq!(names, ["E8/M1024/balanced", "E32/M8/balanced", "E32/M64/zipf"].map(of));
    }
}
