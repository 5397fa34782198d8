//! Bad inputs, one by one: each is answered by its own typed error, whose sentence names what is wrong, and
//! nothing is launched.

mod machines;
mod mx_problems;
mod mx_product;
mod mx_quantiser;
mod mx_world;
mod problems;
mod tensors;
mod world;

use expert_gemm::Error;
use std::collections::HashSet;

/// What came of one bad input.
struct Outcome {
    /// What is wrong, in words.
    name: &'static str,
    /// The answer.
    answer: Result<(), Error>,
    /// Whether the answer is the right variant with the right fields.
    right: fn(&Error) -> bool,
    /// What the sentence must name.
    names: &'static str,
    /// Kernels launched.
    launches: usize,
}

#[test]
fn every_bad_input_is_answered_by_its_own_error_before_anything_is_launched() {
    let mut outcomes = problems::all();
    outcomes.extend(tensors::all());
    outcomes.extend(machines::all());
    outcomes.extend(mx_problems::all());
    outcomes.extend(mx_product::all());
    outcomes.extend(mx_quantiser::all());
    let names: HashSet<_> = outcomes.iter().map(|outcome| outcome.name).collect();
    assert_eq!(names.len(), outcomes.len(), "a bad input is listed twice");
    assert!(outcomes.len() >= 240, "only {} bad inputs", outcomes.len());
    let mut sentences = HashSet::new();
    for Outcome { name, answer, right, names, launches } in outcomes {
        let error = answer.expect_err(name);
        assert!(right(&error), "{name}: answered by {error:?}");
        let sentence = error.to_string();
        assert!(sentence.contains(names), "{name}: no `{names}` in \"{sentence}\"");
        assert!(!sentence.contains('\n') && !sentence.ends_with('.'), "{name}: \"{sentence}\"");
        assert_eq!(launches, 0, "{name}: {launches} launches");
        sentences.insert(sentence);
    }
    assert!(sentences.len() >= 180, "only {} different sentences", sentences.len());
}

#[test]
fn the_same_call_without_a_fault_launches_once() {
    let world = world::World::new();
    world.launch(|_, _| ()).expect("good tensors");
    let launches = world.driver.launches();
    assert_eq!(launches.len(), 1);
    let variant = world.prepared.plan().variant();
    assert_eq!(launches[0].symbol, variant.symbol);
    assert_eq!(launches[0].params.len(), variant.param_bytes as usize);
    assert_eq!(launches[0].cluster, [variant.cluster, 1, 1]);
    assert_eq!(launches[0].smem_bytes, variant.smem_bytes);
    let maps = world.driver.maps();
    let boxes: Vec<_> = maps.iter().map(|map| map.box_dims.as_slice().to_vec()).collect();
    let tokens = [8, 16, 32, 64].map(|rows| vec![128, rows]);
    assert_eq!(boxes[..4], tokens);
    assert_eq!(boxes[4..], [vec![128, 128, 1], vec![128, 64, 1]]);
    for weights in &maps[4..] {
        assert_eq!(weights.dims.as_slice(), [384, 256, 4]);
        assert_eq!(weights.strides_bytes.as_slice(), [384, 384 * 256]);
    }
}
