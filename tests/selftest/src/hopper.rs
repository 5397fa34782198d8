//! The captured programs, one instruction family each: this GPU must leave the very bytes that the GPUs left on which the
//! models were measured.

use crate::bench::Bench;
use crate::fact::{Evidence, Fact, Standing};
use expert_gemm::{ModuleError, Result};
use expert_gemm_kernels::abi::Arch;
use ptx_emulator::capture::{Case, Collection, Corpus, Runner};

/// A captured file: its collection, its name, its contents.
struct Recorded(&'static str, &'static str, &'static [u8]);

/// All of them; a test says when one is missing.
const RECORDED: [Recorded; 3] = [
    Recorded("base", "h200.bin", include_bytes!("../../emulator/captures/h200.bin")),
    Recorded("bf16", "h100_bf16.bin", include_bytes!("../../emulator/captures/h100_bf16.bin")),
    Recorded("f16", "h200_f16.bin", include_bytes!("../../emulator/captures/h200_f16.bin")),
];

/// Most cases of a program that are run; they differ in their numbers only.
const MOST_CASES: usize = 24;

const fn fact(
    id: &'static str,
    claim: &'static str,
    relied_on: &'static str,
    ask: fn(&Bench) -> Result<Evidence>,
) -> Fact {
    Fact { id, claim, relied_on, standing: Standing::Assumed, families: &[Arch::Sm90a], ask }
}

/// All of them.
pub const FACTS: [Fact; 7] = [
    fact(
        "wgmma-e4m3",
        "wgmma of e4m3: fragments, descriptors, and sums truncated 13 bits below the largest exponent, once for 32 products",
        "tests/src/wgmma_model, kernels-gpu/src/gemm/fp8_block_sm90",
        |bench| replay(bench, |case| case.symbol.starts_with("wgmma_n")),
    ),
    fact(
        "wgmma-bf16",
        "wgmma of bf16, A from either place: fragments, and sums truncated 25 bits below the largest exponent, once for 16 products",
        "tests/src/wgmma_model/bf16, kernels-gpu/src/gemm/mxfp8_gemm_sm90",
        |bench| replay(bench, |case| case.symbol.starts_with("wgmma_bf16")),
    ),
    fact(
        "wgmma-f16",
        "wgmma of f16, A from either place: as of bf16, so that the form does not show in a result",
        "tests/src/wgmma_model/bf16, kernels-gpu/src/gemm/mxfp8_gemm_sm90",
        |bench| replay(bench, |case| case.symbol.starts_with("wgmma_f16")),
    ),
    fact(
        "tensor-copies",
        "tensor copies: swizzles, zeros outside of the tensor, multicast",
        "kernels-gpu/src/ptx/tma.rs",
        |bench| replay(bench, |case| case.symbol.starts_with("tma_")),
    ),
    fact(
        "matrix-moves",
        "places of ldmatrix and stmatrix, bulk and small copies",
        "kernels-gpu/src/ptx/stmatrix.rs, cp_async.rs",
        |bench| {
            replay(bench, |case| {
                let symbol = case.symbol;
                symbol.contains("matrix_") || symbol == "bulk" || symbol == "small"
            })
        },
    ),
    fact(
        "conversions",
        "conversions to e4m3, bf16 and f16, and products and sums of binary32",
        "kernels-gpu/src/ptx/cvt.rs",
        |bench| replay(bench, |case| matches!(case.symbol, "narrow" | "e4m3" | "arithmetic")),
    ),
    fact(
        "mbarriers",
        "parities of a fresh mbarrier, bytes that land before they are expected",
        "kernels-gpu/src/ptx/mbarrier.rs",
        |bench| replay(bench, |case| case.symbol == "barrier"),
    ),
];

/// Runs cases and sets what they leave beside the record.
fn replay(bench: &Bench, wanted: fn(&Case) -> bool) -> Result<Evidence> {
    let mut runner = Runner::new(bench.device.clone());
    let (mut got, mut want, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = ("", 0);
    for Recorded(collection, file, contents) in RECORDED {
        let corpus = Corpus::read(contents)
            .map_err(|error| ModuleError::File { path: file.to_owned(), kind: error.kind() })?;
        let cases = Collection::named(collection).map(|collection| (collection.cases)());
        for case in cases.iter().flatten().filter(|case| wanted(case)) {
            last = if last.0 == case.symbol { (last.0, last.1 + 1) } else { (case.symbol, 0) };
            let record = corpus.records.iter().find(|record| record.name == case.name);
            // A case that the recording GPU could not run says nothing.
            let Some(record) = record.filter(|_| last.1 < MOST_CASES) else { continue };
            runs.push((got.len(), format!("{} on {}", case.name, corpus.device)));
            got.extend(words(&runner.run(case)?));
            want.extend(words(&record.output));
        }
    }
    let place = move |at: usize| {
        let run = runs.iter().rev().find(|(first, _)| *first <= at);
        run.map_or_else(
            || format!("word {at}"),
            |(first, run)| format!("word {} of {run}", at - first),
        )
    };
    Ok(Evidence::new(got, want, Box::new(place)))
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
    bytes.chunks(4).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptx_emulator::capture::COLLECTIONS;

    #[test]
    fn every_captured_file_is_replayed() {
        let files = |collection: &Collection| {
            collection.files.iter().map(|&file| (collection.name, file)).collect::<Vec<_>>()
        };
        let captured: Vec<_> = COLLECTIONS.iter().flat_map(files).collect();
        assert_eq!(RECORDED.map(|Recorded(collection, file, _)| (collection, file)), captured[..]);
    }
}
