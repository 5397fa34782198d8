//! Every fact is confirmed by the emulator under every timing, and refuted by anything else: by each of its
//! alternatives, which the verdict then names, and by a changed bit wherever it is.

use expert_gemm_selftest::bench::Bench;
use expert_gemm_selftest::fact::{Evidence, Fact, Verdict};
use expert_gemm_selftest::facts;
use expert_gemm_tests::gpu::say;
use ptx_emulator::{Gpu, Timing};
use std::collections::BTreeSet;

const GPUS: [Gpu; 3] = [Gpu::H200, Gpu::B200, Gpu::B300];

/// The facts that an emulated GPU can be asked, with the GPU.
fn asked(gpu: Gpu, timing: Timing) -> (Bench, Vec<Fact>) {
    let bench = Bench::emulated(gpu, timing);
    let facts = facts::all().into_iter().filter(|fact| bench.can_ask(fact)).collect();
    (bench, facts)
}

/// Whether a fact takes a few tiles, and so a fraction of a second.
fn is_small(fact: &Fact) -> bool {
    !["quantise", "mxfp8", "fp8"].iter().any(|kernel| fact.id.starts_with(kernel))
}

#[test]
fn the_emulator_confirms_every_fact() {
    let mut confirmed = BTreeSet::new();
    for gpu in GPUS {
        for timing in [Timing::Early, Timing::Late, Timing::Random(7)] {
            let (bench, facts) = asked(gpu, timing);
            // The kernels have suites of their own; one timing is enough for them here.
            for fact in facts.iter().filter(|fact| timing == Timing::Late || is_small(fact)) {
                let verdict = bench.ask(fact);
                assert!(verdict.is_confirmed(), "{} by {gpu:?}, {timing:?}: {verdict}", fact.id);
                confirmed.insert(fact.id);
            }
        }
    }
    let all: BTreeSet<&str> = facts::all().iter().map(|fact| fact.id).collect();
    assert_eq!(confirmed, all);
}

/// The evidence if these words had been found.
fn found(evidence: &mut Evidence, got: Vec<u32>) -> Verdict {
    let true_words = std::mem::replace(&mut evidence.got, got);
    let verdict = evidence.judge();
    evidence.got = true_words;
    verdict
}

#[test]
fn anything_else_refutes_every_fact() {
    let mut alternatives = 0;
    for gpu in [Gpu::H200, Gpu::B200] {
        let (bench, facts) = asked(gpu, Timing::Early);
        for fact in facts {
            let mut evidence = (fact.ask)(&bench).expect("an answer");
            for (name, words) in evidence.others.clone() {
                let verdict = found(&mut evidence, words);
                let told = verdict.to_string();
                assert!(verdict.is_refuted(), "{} cannot tell: {name}", fact.id);
                assert!(told.ends_with(&format!("agrees with: {name}")), "{}: {told}", fact.id);
                alternatives += 1;
            }
            let last = evidence.want.len() - 1;
            for at in (0..=100).map(|part| last * part / 100) {
                let mut words = evidence.want.clone();
                words[at] ^= 1 << (at % 32);
                let verdict = found(&mut evidence, words);
                let Verdict::Refuted { first, differing: 1, .. } = verdict else {
                    panic!("{} at {at}: {verdict}", fact.id)
                };
                assert!(first.contains(&format!("want {:#010x}", evidence.want[at])), "{first}");
            }
            let short = evidence.want[..last].to_vec();
            assert!(found(&mut evidence, short).is_refuted(), "{}", fact.id);
        }
    }
    say(&format!("{alternatives} alternatives, each told from what is so"));
    assert!(alternatives > 65);
}
