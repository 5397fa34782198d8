//! Every fault that `mutate` can put into the hand-written kernels of tensor memory is seen: in the output, or by a
//! report. Those that make no difference are listed with the reason.

mod fixture;

use fixture::Mxf8;
use ptx_emulator::Timing;
use ptx_emulator::mutate::{self, Mutant};
use rayon::prelude::*;
use std::panic::catch_unwind;

const TILES: &str = include_str!("../fixtures/mxf8_tiles.ptx");
const PAIRS: &str = include_str!("../fixtures/mxf8_pairs.ptx");

/// The start of a line's change, and why nobody can see it.
const EQUIVALENT: &[(&str, &str)] = &[
    (
        "drop-fence in mxf8_tiles, line 46: fence.mbarrier_init",
        "A CTA of its own has fence.proxy.async and the barrier.",
    ),
    (
        "[%r4], 128; -> { .reg .b32 changed; add.s32 changed, 128, -1",
        "Each lane of a warp knows that the loads of its warp are complete.",
    ),
    ("[%r4], 256; -> { .reg .b32 changed; add.s32 changed, 256, -1", "The same in a pair."),
    (
        "before the memory is given back -> (nothing)",
        "A deallocation is no asynchronous instruction, so no fence has to come before it.",
    ),
];

/// Kinds that concern tensor memory; the others have their suite on the shipped kernels.
fn concerns(mutant: &Mutant) -> bool {
    let line = &mutant.before;
    ["tcgen05", "cta_group::2", "mbarrier", "cp.async"].iter().any(|part| line.contains(part))
}

fn is_seen(problem: &Mxf8, truth: &[f32]) -> bool {
    [Timing::Early, Timing::Late, Timing::Random(11)].into_iter().any(|timing| {
        let (output, reports) = problem.run(timing);
        !reports.is_empty() || output != truth
    })
}

fn survivors(problem: &Mxf8) -> Vec<String> {
    let truth = problem.truth();
    let mutants: Vec<(String, Mutant)> =
        mutate::all(&problem.text).into_iter().filter(|(_, mutant)| concerns(mutant)).collect();
    assert!(mutants.len() >= 40, "{} mutants", mutants.len());
    mutants
        .par_iter()
        .filter(|(_, mutant)| {
            let listed = |(text, _): &&(&str, &str)| mutant.to_string().contains(text);
            EQUIVALENT.iter().find(listed).is_none()
        })
        .filter_map(|(_, mutant)| {
            let problem = Mxf8 { text: mutant.apply(&problem.text), ..problem.clone() };
            // A text that no longer parses is seen too: by a panic of the fixture.
            let seen = catch_unwind(|| is_seen(&problem, &truth)).unwrap_or(true);
            (!seen).then(|| mutant.to_string())
        })
        .collect()
}

#[test]
fn faults_of_one_cta_are_seen() {
    let survivors = survivors(&Mxf8::new(TILES, &[]));
    assert!(survivors.is_empty(), "{survivors:#?}");
}

#[test]
fn faults_of_a_pair_are_seen() {
    let survivors = survivors(&Mxf8::pair(PAIRS, &[]));
    assert!(survivors.is_empty(), "{survivors:#?}");
}
