//! MXFP8 problems whose own numbers are wrong, and host slices that do not fit them.

use super::Outcome;
use super::mx_world::{MM, QUANT};
use expert_gemm::cpu::{self, HostInput, HostMxTensors, HostOutput, HostQuantTensors};
use expert_gemm::scales;
use expert_gemm::{
    DeviceInfo, ElementType as E, Error, MAX_EXPERTS, MAX_ROWS, MAX_SCALE_ROWS, Mxfp8GroupedMm,
    Mxfp8GroupedQuant,
};
use half::{bf16, f16};

type Right = fn(&Error) -> bool;

const PRODUCTS: &[(&str, &str, Mxfp8GroupedMm, Right)] = &[
    ("product: K = 192", "`k` is 192", Mxfp8GroupedMm { k: 192, ..MM }, |e| {
        matches!(e, Error::NotMultiple { field: "k", given: 192, multiple: 128, .. })
    }),
    ("product: K = 32", "`k` is 32", Mxfp8GroupedMm { k: 32, ..MM }, |e| {
        matches!(e, Error::NotMultiple { field: "k", given: 32, .. })
    }),
    ("product: K = 0", "`k` is 0", Mxfp8GroupedMm { k: 0, ..MM }, |e| {
        matches!(e, Error::OutOfRange { field: "k", given: 0, .. })
    }),
    ("product: K beyond i32", "`k` is 2147483648", Mxfp8GroupedMm { k: 1 << 31, ..MM }, |e| {
        matches!(e, Error::OutOfRange { field: "k", .. })
    }),
    (
        "product: scale_rows = 100",
        "`scale_rows` is 100",
        Mxfp8GroupedMm { scale_rows: 100, ..MM },
        |e| matches!(e, Error::OutOfRange { field: "scale_rows", given: 100, min: 128, .. }),
    ),
    (
        "product: scale_rows = 200",
        "`scale_rows` is 200",
        Mxfp8GroupedMm { scale_rows: 200, ..MM },
        |e| matches!(e, Error::NotMultiple { field: "scale_rows", given: 200, multiple: 128, .. }),
    ),
    (
        "product: scale_rows = 0 with rows",
        "`scale_rows` is 0",
        Mxfp8GroupedMm { scale_rows: 0, ..MM },
        |e| matches!(e, Error::OutOfRange { field: "scale_rows", given: 0, .. }),
    ),
    (
        "product: scale_rows beyond i32",
        "`scale_rows`",
        Mxfp8GroupedMm { scale_rows: MAX_SCALE_ROWS + 128, ..MM },
        |e| matches!(e, Error::OutOfRange { field: "scale_rows", max: MAX_SCALE_ROWS, .. }),
    ),
    (
        "product: T beyond the row limit",
        "`rows`",
        Mxfp8GroupedMm { rows: MAX_ROWS + 1, ..MM },
        |e| matches!(e, Error::OutOfRange { field: "rows", max: MAX_ROWS, .. }),
    ),
    (
        "product: too many experts",
        "`experts`",
        Mxfp8GroupedMm { experts: MAX_EXPERTS + 1, ..MM },
        |e| matches!(e, Error::OutOfRange { field: "experts", .. }),
    ),
    ("product: N = 192", "`n` is 192", Mxfp8GroupedMm { n: 192, ..MM }, |e| {
        matches!(e, Error::NotMultiple { field: "n", given: 192, .. })
    }),
    ("product: N = 0", "`n` is 0", Mxfp8GroupedMm { n: 0, ..MM }, |e| {
        matches!(e, Error::OutOfRange { field: "n", .. })
    }),
    (
        "product: weights beyond 2^40 bytes",
        "`n * k`",
        Mxfp8GroupedMm { n: 1 << 20, k: 1 << 20, ..MM },
        |e| matches!(e, Error::OutOfRange { field: "n * k", .. }),
    ),
    (
        "product: too many tiles",
        "`experts` and `n` make",
        Mxfp8GroupedMm { rows: MAX_ROWS, n: 128 * 512, ..MM },
        |e| matches!(e, Error::TooManyTiles { side: "n", .. }),
    ),
    (
        "product: f32 output",
        "`output` is to be f32",
        Mxfp8GroupedMm { output: E::F32, ..MM },
        |e| matches!(e, Error::OutputType { given: E::F32 }),
    ),
    (
        "product: e4m3 output",
        "`output` is to be e4m3",
        Mxfp8GroupedMm { output: E::E4m3, ..MM },
        |e| matches!(e, Error::OutputType { .. }),
    ),
];

const QUANTISERS: &[(&str, &str, Mxfp8GroupedQuant, Right)] = &[
    ("quantiser: K = 192", "`k` is 192", Mxfp8GroupedQuant { k: 192, ..QUANT }, |e| {
        matches!(e, Error::NotMultiple { field: "k", given: 192, multiple: 128, .. })
    }),
    ("quantiser: K = 32", "`k` is 32", Mxfp8GroupedQuant { k: 32, ..QUANT }, |e| {
        matches!(e, Error::NotMultiple { field: "k", given: 32, .. })
    }),
    ("quantiser: K = 0", "`k` is 0", Mxfp8GroupedQuant { k: 0, ..QUANT }, |e| {
        matches!(e, Error::OutOfRange { field: "k", given: 0, .. })
    }),
    (
        "quantiser: K beyond i32",
        "`k` is 2147483648",
        Mxfp8GroupedQuant { k: 1 << 31, ..QUANT },
        |e| matches!(e, Error::OutOfRange { field: "k", .. }),
    ),
    (
        "quantiser: scale_rows = 100",
        "`scale_rows` is 100",
        Mxfp8GroupedQuant { scale_rows: 100, ..QUANT },
        |e| matches!(e, Error::OutOfRange { field: "scale_rows", given: 100, min: 128, .. }),
    ),
    (
        "quantiser: scale_rows = 200",
        "`scale_rows` is 200",
        Mxfp8GroupedQuant { scale_rows: 200, ..QUANT },
        |e| matches!(e, Error::NotMultiple { field: "scale_rows", given: 200, multiple: 128, .. }),
    ),
    (
        "quantiser: scale_rows = 0 with rows",
        "`scale_rows` is 0",
        Mxfp8GroupedQuant { scale_rows: 0, ..QUANT },
        |e| matches!(e, Error::OutOfRange { field: "scale_rows", given: 0, .. }),
    ),
    (
        "quantiser: scale_rows beyond i32",
        "`scale_rows`",
        Mxfp8GroupedQuant { scale_rows: MAX_SCALE_ROWS + 128, ..QUANT },
        |e| matches!(e, Error::OutOfRange { field: "scale_rows", max: MAX_SCALE_ROWS, .. }),
    ),
    (
        "quantiser: T beyond the row limit",
        "`rows`",
        Mxfp8GroupedQuant { rows: MAX_ROWS + 1, ..QUANT },
        |e| matches!(e, Error::OutOfRange { field: "rows", max: MAX_ROWS, .. }),
    ),
    (
        "quantiser: too many experts",
        "`experts`",
        Mxfp8GroupedQuant { experts: MAX_EXPERTS + 1, ..QUANT },
        |e| matches!(e, Error::OutOfRange { field: "experts", .. }),
    ),
    (
        "quantiser: too many tiles",
        "`experts` and `k` make",
        Mxfp8GroupedQuant { rows: MAX_ROWS, k: 128 * 512, ..QUANT },
        |e| matches!(e, Error::TooManyTiles { side: "k", .. }),
    ),
    (
        "quantiser: f32 input",
        "`input` is to be f32",
        Mxfp8GroupedQuant { input: E::F32, ..QUANT },
        |e| matches!(e, Error::InputType { given: E::F32 }),
    ),
    (
        "quantiser: e4m3 input",
        "`input` is to be e4m3",
        Mxfp8GroupedQuant { input: E::E4m3, ..QUANT },
        |e| matches!(e, Error::InputType { given: E::E4m3 }),
    ),
];

pub(crate) fn all() -> Vec<Outcome> {
    let products = PRODUCTS.iter().map(|&(name, names, problem, right)| {
        let answer = problem.plan(&DeviceInfo::b200()).map(drop);
        Outcome { name, answer, right, names, launches: 0 }
    });
    let quantisers = QUANTISERS.iter().map(|&(name, names, problem, right)| {
        let answer = problem.plan(&DeviceInfo::h200()).map(drop);
        Outcome { name, answer, right, names, launches: 0 }
    });
    let mut outcomes: Vec<_> = products.chain(quantisers).collect();
    outcomes.extend(devices());
    outcomes.extend(host_products());
    outcomes.extend(host_quantisers());
    outcomes
}

fn devices() -> [Outcome; 2] {
    let a10 =
        DeviceInfo { capability: (8, 6), name: "NVIDIA A10".to_owned(), ..DeviceInfo::h200() };
    let right: Right = |e| matches!(e, Error::UnsupportedDevice { capability: (8, 6), .. });
    let outcome = |name, names, answer| Outcome { name, answer, right, names, launches: 0 };
    [
        outcome("product: an Ampere GPU", "MXFP8 grouped GEMM needs", MM.plan(&a10).map(drop)),
        outcome("quantiser: an Ampere GPU", "this device is sm_86", QUANT.plan(&a10).map(drop)),
    ]
}

fn product(
    name: &'static str,
    names: &'static str,
    spoil: impl FnOnce(&mut HostMxTensors<'_>),
    output: HostOutput<'_>,
    right: Right,
) -> Outcome {
    let problem =
        Mxfp8GroupedMm { rows: 1, experts: 1, n: 128, k: 128, scale_rows: 128, output: E::Bf16 };
    let (a, b) = ([0; 128], vec![0; 128 * 128]);
    let mut tensors = HostMxTensors {
        a: &a,
        b: &b,
        sfa: &[127; 512],
        sfb: &[127; 512],
        problem_sizes: &[[1, 128, 128]],
        expert_offsets: &[0],
        blockscale_offsets: &[0],
    };
    spoil(&mut tensors);
    let answer = cpu::mxfp8_grouped_mm(&problem, &tensors, output).map(drop);
    Outcome { name, answer, right, names, launches: 0 }
}

fn host_products() -> Vec<Outcome> {
    let mut bf16s = [bf16::ZERO; 128];
    let mut halves = [f16::ZERO; 128];
    vec![
        product(
            "product: host sfa without padding",
            "`sfa` has 4 elements",
            |t| t.sfa = &[127; 4],
            HostOutput::Bf16(&mut bf16s),
            |e| matches!(e, Error::WrongLength { tensor: "sfa", given: 4, expected: 512, .. }),
        ),
        product(
            "product: host sfb too long",
            "`sfb` has 513",
            |t| t.sfb = &[127; 513],
            HostOutput::Bf16(&mut bf16s),
            |e| matches!(e, Error::WrongLength { tensor: "sfb", given: 513, .. }),
        ),
        product(
            "product: host blockscale_offsets with the total",
            "`blockscale_offsets` has 2",
            |t| t.blockscale_offsets = &[0, 128],
            HostOutput::Bf16(&mut bf16s),
            |e| matches!(e, Error::WrongLength { tensor: "blockscale_offsets", .. }),
        ),
        product(
            "product: host output of another type",
            "`output` holds f16",
            |_| (),
            HostOutput::F16(&mut halves),
            |e| matches!(e, Error::WrongElementType { tensor: "output", .. }),
        ),
        product(
            "product: host output too short",
            "`output` has 127",
            |_| (),
            HostOutput::Bf16(&mut bf16s[1..]),
            |e| matches!(e, Error::WrongLength { tensor: "output", .. }),
        ),
        Outcome {
            name: "scales: rows in a short buffer",
            names: "`scales` has 511",
            answer: scales::swizzle(1, 128, &[0; 4], &mut [0; 511]),
            right: |e| matches!(e, Error::WrongLength { tensor: "scales", .. }),
            launches: 0,
        },
        Outcome {
            name: "scales: K = 96",
            names: "`k` is 96",
            answer: scales::unswizzle(1, 96, &[0; 512], &mut [0; 3]),
            right: |e| matches!(e, Error::NotMultiple { field: "k", given: 96, .. }),
            launches: 0,
        },
    ]
}

fn quantiser(
    name: &'static str,
    names: &'static str,
    spoil: impl FnOnce(&mut HostQuantTensors<'_>),
    [codes, scales]: [usize; 2],
    right: Right,
) -> Outcome {
    let problem = Mxfp8GroupedQuant { rows: 1, experts: 1, k: 128, scale_rows: 128, ..QUANT };
    let mut tensors = HostQuantTensors {
        input: HostInput::Bf16(&[bf16::ONE; 128]),
        problem_sizes: &[[1, 0, 128]],
        expert_offsets: &[0],
        blockscale_offsets: &[0],
    };
    spoil(&mut tensors);
    let (mut codes, mut scales) = (vec![0; codes], vec![0; scales]);
    let answer = cpu::mxfp8_grouped_quant(&problem, &tensors, &mut codes, &mut scales).map(drop);
    Outcome { name, answer, right, names, launches: 0 }
}

fn host_quantisers() -> Vec<Outcome> {
    let good = [128, 512];
    vec![
        quantiser(
            "quantiser: host input of another type",
            "`input` holds f16",
            |t| t.input = HostInput::F16(&[f16::ONE; 128]),
            good,
            |e| matches!(e, Error::WrongElementType { tensor: "input", .. }),
        ),
        quantiser(
            "quantiser: host input too short",
            "`input` has 127",
            |t| t.input = HostInput::Bf16(&[bf16::ONE; 127]),
            good,
            |e| matches!(e, Error::WrongLength { tensor: "input", .. }),
        ),
        quantiser(
            "quantiser: host problem_sizes empty",
            "`problem_sizes` has 0",
            |t| t.problem_sizes = &[],
            good,
            |e| matches!(e, Error::WrongLength { tensor: "problem_sizes", .. }),
        ),
        quantiser(
            "quantiser: host blockscale_offsets with the total",
            "without the total",
            |t| t.blockscale_offsets = &[0, 128],
            good,
            |e| matches!(e, Error::WrongLength { tensor: "blockscale_offsets", .. }),
        ),
        quantiser(
            "quantiser: host quant_output short",
            "`quant_output` has 64",
            |_| (),
            [64, 512],
            |e| matches!(e, Error::WrongLength { tensor: "quant_output", .. }),
        ),
        quantiser(
            "quantiser: host scale_factor without padding",
            "`scale_factor` has 4",
            |_| (),
            [128, 4],
            |e| matches!(e, Error::WrongLength { tensor: "scale_factor", expected: 512, .. }),
        ),
    ]
}
