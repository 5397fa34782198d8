//! Problems whose own numbers are wrong.

use super::Outcome;
use super::world::PROBLEM;
use expert_gemm::cpu::{self, HostOutput, HostTensors};
use expert_gemm::{DeviceInfo, ElementType, Error, Fp8GroupedMm, MAX_EXPERTS, MAX_ROWS, MAX_SIDE};
use half::{bf16, f16};

fn problem(
    name: &'static str,
    problem: Fp8GroupedMm,
    names: &'static str,
    right: fn(&Error) -> bool,
) -> Outcome {
    let answer = problem.plan(&DeviceInfo::h200()).map(drop);
    Outcome { name, answer, right, names, launches: 0 }
}

fn host(
    name: &'static str,
    spoil: impl FnOnce(&mut HostTensors<'_>),
    output: HostOutput<'_>,
    names: &'static str,
    right: fn(&Error) -> bool,
) -> Outcome {
    let problem = Fp8GroupedMm { rows: 1, experts: 1, n: 128, k: 128, output: ElementType::Bf16 };
    let (a, b) = ([0; 128], vec![0; 128 * 128]);
    let mut tensors = HostTensors {
        a: &a,
        b: &b,
        scales_a: &[1.0],
        scales_b: &[1.0],
        problem_sizes: &[[1, 128, 128]],
        expert_offsets: &[0],
    };
    spoil(&mut tensors);
    let answer = cpu::fp8_grouped_mm(&problem, &tensors, output).map(drop);
    Outcome { name, answer, right, names, launches: 0 }
}

pub(crate) fn all() -> Vec<Outcome> {
    let mut out = vec![0u16; 128].into_iter().map(bf16::from_bits).collect::<Vec<_>>();
    let mut half = [f16::ZERO; 128];
    vec![
        problem("K = 192", Fp8GroupedMm { k: 192, ..PROBLEM }, "`k` is 192", |e| {
            matches!(e, Error::NotMultiple { field: "k", given: 192, multiple: 128, .. })
        }),
        problem("K = 127", Fp8GroupedMm { k: 127, ..PROBLEM }, "`k` is 127", |e| {
            matches!(e, Error::NotMultiple { field: "k", given: 127, .. })
        }),
        problem("K = 0", Fp8GroupedMm { k: 0, ..PROBLEM }, "`k` is 0", |e| {
            matches!(e, Error::OutOfRange { field: "k", given: 0, .. })
        }),
        problem("N = 100", Fp8GroupedMm { n: 100, ..PROBLEM }, "`n` is 100", |e| {
            matches!(e, Error::NotMultiple { field: "n", given: 100, .. })
        }),
        problem("N = 0", Fp8GroupedMm { n: 0, ..PROBLEM }, "`n` is 0", |e| {
            matches!(e, Error::OutOfRange { field: "n", given: 0, .. })
        }),
        problem("N = 4097", Fp8GroupedMm { n: 4097, ..PROBLEM }, "`n` is 4097", |e| {
            matches!(e, Error::NotMultiple { field: "n", .. })
        }),
        problem("N beyond i32", Fp8GroupedMm { n: MAX_SIDE + 128, ..PROBLEM }, "`n`", |e| {
            matches!(e, Error::OutOfRange { field: "n", max: MAX_SIDE, .. })
        }),
        problem("K beyond i32", Fp8GroupedMm { k: 1 << 31, ..PROBLEM }, "`k`", |e| {
            matches!(e, Error::OutOfRange { field: "k", .. })
        }),
        problem("N = u64::MAX", Fp8GroupedMm { n: u64::MAX, ..PROBLEM }, "`n`", |e| {
            matches!(e, Error::OutOfRange { field: "n", given: u64::MAX, .. })
        }),
        problem(
            "T beyond the row limit",
            Fp8GroupedMm { rows: MAX_ROWS + 1, ..PROBLEM },
            "`rows`",
            |e| matches!(e, Error::OutOfRange { field: "rows", max: MAX_ROWS, .. }),
        ),
        problem("T = u64::MAX", Fp8GroupedMm { rows: u64::MAX, ..PROBLEM }, "`rows`", |e| {
            matches!(e, Error::OutOfRange { field: "rows", given: u64::MAX, .. })
        }),
        problem(
            "too many experts",
            Fp8GroupedMm { experts: MAX_EXPERTS + 1, ..PROBLEM },
            "`experts`",
            |e| matches!(e, Error::OutOfRange { field: "experts", .. }),
        ),
        problem(
            "an expert's weights beyond 2^40 bytes",
            Fp8GroupedMm { n: 1 << 20, k: 1 << 20, ..PROBLEM },
            "`n * k`",
            |e| matches!(e, Error::OutOfRange { field: "n * k", .. }),
        ),
        problem(
            "too many tiles",
            Fp8GroupedMm { rows: MAX_ROWS, n: 128 * 512, ..PROBLEM },
            "tiles",
            |e| matches!(e, Error::TooManyTiles { .. }),
        ),
        problem(
            "f32 output",
            Fp8GroupedMm { output: ElementType::F32, ..PROBLEM },
            "`output` is to be f32",
            |e| matches!(e, Error::OutputType { given: ElementType::F32 }),
        ),
        problem(
            "e4m3 output",
            Fp8GroupedMm { output: ElementType::E4m3, ..PROBLEM },
            "e4m3",
            |e| matches!(e, Error::OutputType { given: ElementType::E4m3 }),
        ),
        problem(
            "integer output",
            Fp8GroupedMm { output: ElementType::I32, ..PROBLEM },
            "i32",
            |e| matches!(e, Error::OutputType { given: ElementType::I32 }),
        ),
        host(
            "host a too short",
            |t| t.a = &[0; 127],
            HostOutput::Bf16(&mut out),
            "`a`",
            |e| matches!(e, Error::WrongLength { tensor: "a", given: 127, expected: 128, .. }),
        ),
        host(
            "host b empty",
            |t| t.b = &[],
            HostOutput::Bf16(&mut out),
            "`b`",
            |e| matches!(e, Error::WrongLength { tensor: "b", given: 0, .. }),
        ),
        host(
            "host scales_a too long",
            |t| t.scales_a = &[1.0; 2],
            HostOutput::Bf16(&mut out),
            "`scales_a`",
            |e| matches!(e, Error::WrongLength { tensor: "scales_a", given: 2, expected: 1, .. }),
        ),
        host(
            "host scales_b empty",
            |t| t.scales_b = &[],
            HostOutput::Bf16(&mut out),
            "`scales_b`",
            |e| matches!(e, Error::WrongLength { tensor: "scales_b", .. }),
        ),
        host(
            "host problem_sizes empty",
            |t| t.problem_sizes = &[],
            HostOutput::Bf16(&mut out),
            "`problem_sizes`",
            |e| matches!(e, Error::WrongLength { tensor: "problem_sizes", .. }),
        ),
        host(
            "host offsets with the total",
            |t| t.expert_offsets = &[0, 1],
            HostOutput::Bf16(&mut out),
            "`expert_offsets`",
            |e| matches!(e, Error::WrongLength { tensor: "expert_offsets", given: 2, .. }),
        ),
        host(
            "host output too short",
            |_| (),
            HostOutput::Bf16(&mut out[..127]),
            "`output`",
            |e| matches!(e, Error::WrongLength { tensor: "output", given: 127, .. }),
        ),
        host(
            "host output of another type",
            |_| (),
            HostOutput::F16(&mut half),
            "`output` holds f16",
            |e| matches!(e, Error::WrongElementType { tensor: "output", .. }),
        ),
    ]
}
