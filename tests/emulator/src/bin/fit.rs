//! Tries rules of arithmetic against a capture of bf16 or f16 wgmma: `fit FILE`.
//!
//! First every rule on the cases of one instruction, then the best on all cases, by kind of operands.

use ptx_emulator::capture::{COLLECTIONS, Case, Corpus, wgmma_half};
use ptx_emulator::semantics::alu::float::Half;
use ptx_emulator::semantics::tensor::{FusedSum, Rounding};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

/// Rules that the second table shows.
const SHOWN: usize = 12;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [file] => fit(file),
        _ => Err("usage: fit FILE".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A captured case, with its kind of operands and how many steps it has.
struct Captured {
    case: Case,
    kind: String,
    output: Vec<u8>,
}

fn fit(file: &str) -> Result<(), Box<dyn Error>> {
    let corpus = Corpus::read(&std::fs::read(file)?[..])?;
    println!("{}: {}, CUDA {}, {} tiles", file, corpus.device, corpus.driver, corpus.tiles());
    let captured = captured(corpus)?;
    let element = captured.first().and_then(|captured| wgmma_half::element(captured.case.symbol));
    let element = element.ok_or("not a capture of 16-bit operands")?;
    let (single, chains): (Vec<&Captured>, Vec<&Captured>) =
        captured.iter().partition(|captured| captured.case.words[1] == 1);

    let mut tried: Vec<(usize, FusedSum)> =
        rules(element).into_par_iter().map(|rule| (total(&single, rule), rule)).collect();
    tried.sort_by_key(|&(wrong, rule)| (wrong, rule.fraction_bits.abs_diff(25)));
    println!("\none instruction, {} outputs:", outputs(&single));
    for &(wrong, rule) in tried.iter().take(40) {
        println!("{:>8} differ  {}", wrong, say(rule));
    }

    println!("\nchains of 4 and 8, {} outputs:", outputs(&chains));
    for &(_, rule) in tried.iter().take(SHOWN) {
        println!("{:>8} differ  {}", total(&chains, rule), say(rule));
    }

    let best = tried[0].1;
    println!("\n{}, by kind of operands: outputs, differences, the first of them", say(best));
    let mut kinds: BTreeMap<&str, (usize, usize, String)> = BTreeMap::new();
    for captured in &captured {
        let (outputs, wrong, first) = kinds.entry(&captured.kind).or_default();
        let differing = differing(captured, best);
        *outputs += captured.output.len() / 4;
        *wrong += differing.len();
        if let Some((place, want, got)) = differing.first()
            && first.is_empty()
        {
            *first =
                format!("{} [{place}]: {want:08x} captured, {got:08x} here", captured.case.name);
        }
    }
    for (kind, (outputs, wrong, first)) in kinds {
        println!("{kind:<16} {outputs:>8} {wrong:>8}  {first}");
    }
    Ok(())
}

/// The records with their cases.
fn captured(corpus: Corpus) -> Result<Vec<Captured>, Box<dyn Error>> {
    let mut cases: BTreeMap<String, Case> = COLLECTIONS
        .iter()
        .flat_map(|collection| (collection.cases)())
        .map(|case| (case.name.clone(), case))
        .collect();
    let with_case = |record: ptx_emulator::capture::Record| {
        let case = cases.remove(&record.name).ok_or("a case that is not known")?;
        if case.fingerprint() != record.fingerprint {
            return Err(format!("{}: the case has changed", case.name).into());
        }
        let kind = case.name.split('/').nth(1).unwrap_or_default().to_owned();
        Ok(Captured { case, kind, output: record.output })
    };
    corpus.records.into_iter().map(with_case).collect()
}

fn rules(element: Half) -> Vec<FusedSum> {
    const ROUNDINGS: [Rounding; 2] = [Rounding::TowardZero, Rounding::NearestEven];
    let mut rules = Vec::new();
    for normalised in [false, true] {
        for fraction_bits in 12..=27 {
            for result_bits in [13, 22, 23] {
                for products in [4, 8, 16] {
                    for terms in ROUNDINGS {
                        rules.extend(ROUNDINGS.map(|result| FusedSum {
                            element,
                            normalised,
                            fraction_bits,
                            result_bits,
                            products,
                            terms,
                            result,
                        }));
                    }
                }
            }
        }
    }
    rules
}

fn say(rule: FusedSum) -> String {
    let way = |rounding| match rounding {
        Rounding::TowardZero => "cut",
        Rounding::NearestEven => "rounded",
    };
    format!(
        "{} products in a sum, subnormal operands {}, terms {} {} bits below the largest exponent, result {} to {} bits",
        rule.products,
        if rule.normalised { "shifted" } else { "as they are" },
        way(rule.terms),
        rule.fraction_bits,
        way(rule.result),
        rule.result_bits
    )
}

fn outputs(captured: &[&Captured]) -> usize {
    captured.iter().map(|captured| captured.output.len() / 4).sum()
}

fn total(captured: &[&Captured], rule: FusedSum) -> usize {
    captured.par_iter().map(|captured| differing(captured, rule).len()).sum()
}

/// Place, captured and modelled bits of the outputs that differ.
fn differing(captured: &Captured, rule: FusedSum) -> Vec<(usize, u32, u32)> {
    let modelled = wgmma_half::output(&captured.case, |acc, a, b| rule.dot(acc, a, b));
    let words = |bytes: &[u8]| -> Vec<u32> {
        bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
    };
    let pairs = words(&captured.output).into_iter().zip(words(&modelled)).enumerate();
    pairs.filter(|(_, (a, b))| a != b).map(|(place, (a, b))| (place, a, b)).collect()
}
