//! The kernels of the lessons in the emulator: every output bit is the one that the lesson promises, and nothing is reported.

mod common;

use common::{Emulated, small, timings};
use expert_gemm::{ElementType, Stream};
use expert_gemm_tests::gpu::{UNTOUCHED, say};
use expert_gemm_tests::lessons;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::Routing;
use ptx_emulator::Timing;
use ptx_emulator::exact::ExactProblem;
use rayon::prelude::*;
use std::time::Instant;

/// What is wrong with a lesson on a problem.
fn complaint(ptx: &str, number: usize, problem: &HostProblem, timing: Timing) -> Option<String> {
    let emulated = Emulated::timed(timing, 3);
    let tables = problem.tables();
    let run = || {
        let lesson = lessons::load_text(&emulated.device, ptx)?.swap_remove(number);
        let exact = ExactProblem::new(&emulated.device, problem, &tables)?;
        let left = exact.run_kernel(None, |prepared, tensors| {
            lesson.launch(Stream::DEFAULT, prepared.plan().problem(), tensors)
        })?;
        lesson.compare(problem, &tables, &left.output, UNTOUCHED)
    };
    let said = match run() {
        Ok(difference) if difference.is_none() => Vec::new(),
        Ok(difference) => vec![difference.to_string()],
        Err(error) => vec![error.to_string()],
    };
    let said = [said, emulated.reports()].concat();
    let what = || format!("lesson {}, {timing:?}, {problem}\n  ", number + 1);
    (!said.is_empty()).then(|| what() + &said.join("\n  "))
}

/// Ragged and empty groups by seed, then the edges of tiles and of the loops over K.
fn problems() -> Vec<HostProblem> {
    let bf16 = |spec: Spec| Spec { output: ElementType::Bf16, ..spec };
    let mut all: Vec<_> = (0..6).map(|seed| bf16(small(seed)).build()).collect();
    let edges = [
        (256, vec![0, 129, 8]),
        (128, vec![64, 0, 16, 1]),
        (640, vec![65, 9]),
        (896, vec![33, 128]),
        (1152, vec![70, 17]),
    ];
    for (seed, (k, rows)) in (500..).zip(edges) {
        let spec = Spec { experts: rows.len(), n: 128, k, seed, ..Spec::PLAIN };
        all.push(HostProblem::new(spec, Routing::packed(rows)));
    }
    all
}

#[test]
fn every_lesson_gives_the_bits_that_it_promises() {
    let start = Instant::now();
    let problems = problems();
    let lessons = 0..expert_gemm::abi::LESSONS.len();
    let pairs: Vec<_> =
        lessons.flat_map(|number| problems.iter().enumerate().map(move |p| (number, p))).collect();
    let failures: Vec<String> = pairs
        .par_iter()
        .filter_map(|&(number, (i, problem))| {
            let timing = timings(problem.spec.seed)[(i + number) % 3];
            complaint(lessons::text(), number, problem, timing)
        })
        .collect();
    let seconds = start.elapsed().as_secs_f64();
    say(&format!("lessons: {} runs, {} failed, {seconds:.1} s", pairs.len(), failures.len()));
    assert!(failures.is_empty(), "{}", failures[..failures.len().min(5)].join("\n"));
}

/// The module without the first or last line of a lesson that holds `instruction`.
fn without(lesson: &str, instruction: &str, last: bool) -> String {
    let text = lessons::text();
    let entry = text.find(&format!(".entry {lesson}")).expect("the lesson") + 1;
    let body = text[entry..].split(".entry ").next().unwrap_or_default();
    let at = if last { body.rfind(instruction) } else { body.find(instruction) };
    let at = entry + at.expect("the instruction");
    let line_end = at + text[at..].find('\n').expect("a line");
    format!("{}{}", &text[..at], &text[line_end..])
}

/// What the pages say of barriers and fences that are left out.
#[test]
fn a_barrier_or_fence_left_out_is_reported() {
    let spec = Spec { experts: 2, n: 128, k: 256, seed: 3, ..Spec::PLAIN };
    let problem = HostProblem::new(spec, Routing::packed(vec![40, 3]));
    for (number, lesson, instruction, last, word) in [
        (1, "lesson_2_shared_tile", "bar.sync", false, "Race"),
        (1, "lesson_2_shared_tile", "bar.sync", true, "Race"),
        (2, "lesson_3_wgmma", "fence.proxy.async", false, "fence"),
    ] {
        let said = complaint(&without(lesson, instruction, last), number, &problem, Timing::Late);
        let said = said.unwrap_or_default();
        assert!(said.contains(word), "{lesson} without {instruction}: {said}");
    }
}
