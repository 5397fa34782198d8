//! A launch captured in a CUDA graph, replayed with other routing: the group tables stay on the device, where the router
//! of a service writes them, and the graph is not made anew.
//!
//! ```text
//! cargo run --release -p expert-gemm --example cuda_graph
//! ```
//!
//! A graph needs a GPU. Without one that has the kernel the example says so, and computes both routings on the CPU
//! backend.

mod common;

use common::{BLOCKS, EXPERTS, K, N, Operands, PROBLEM, ROWS};
use expert_gemm::{ElementType as E, Fp8GroupedMmTensors, Prepared, Result};
use half::bf16;
use std::error::Error;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let (n, k) = (N as i32, K as i32);
    // The same rows and weights, shared out in two ways.
    let captured = Operands::new();
    let sizes = vec![[8, n, k], [17, n, k], [15, n, k]];
    let rerouted = Operands { sizes, offsets: vec![0, 8, 25], ..Operands::new() };

    let outputs = match common::prepare() {
        Ok(prepared) => {
            println!("on {}", prepared.device().info());
            on_gpu(&prepared, &captured, &rerouted)?
        }
        Err(reason) => {
            common::fallback::to_cpu(&reason)?;
            println!("no graph is captured: that takes a GPU");
            [captured.on_cpu()?, rerouted.on_cpu()?]
        }
    };
    let [first, second] = &outputs;
    if first == second {
        return Err("other routing must give other outputs".into());
    }
    common::compare(first, &captured.on_cpu()?)?;
    common::compare(second, &rerouted.on_cpu()?)
}

/// The outputs of two replays of one graph.
fn on_gpu(prepared: &Prepared, captured: &Operands, rerouted: &Operands) -> Result<[Vec<bf16>; 2]> {
    let device = prepared.device();
    let (a, b) = (device.upload(&captured.a)?, device.upload(&captured.b)?);
    let scales_a = device.upload(&captured.scales_a)?;
    let scales_b = device.upload(&captured.scales_b)?;
    let sizes = device.upload(&captured.sizes)?;
    let offsets = device.upload(&captured.offsets)?;
    let output = device.alloc(ROWS * N * PROBLEM.output.bytes())?;

    // The kernel was loaded by `prepare`, before the capture: loading one waits, which a capture must not.
    let stream = device.stream()?;
    let graph = stream.capture(|stream| {
        prepared.launch(
            stream,
            &Fp8GroupedMmTensors {
                output: output.tensor(PROBLEM.output, &[ROWS, N]),
                a: a.tensor(E::E4m3, &[ROWS, K]),
                b: b.tensor(E::E4m3, &[EXPERTS, N, K]),
                scales_a: scales_a.tensor(E::F32, &[ROWS, BLOCKS[1]]),
                scales_b: scales_b.tensor(E::F32, &[EXPERTS, BLOCKS[0], BLOCKS[1]]),
                problem_sizes: sizes.tensor(E::I32, &[EXPERTS, 3]),
                expert_offsets: offsets.tensor(E::I32, &[EXPERTS]),
                status: None,
            },
        )
    })?;

    let replay = |routing: &Operands| {
        // A service writes these with a kernel of its router, in the same stream.
        sizes.upload(&routing.sizes)?;
        offsets.upload(&routing.offsets)?;
        // NaN, so that an output that the replay does not write is found.
        output.fill(0xFF, stream.stream())?;
        // SAFETY: the tensors of the captured launch are alive.
        unsafe { graph.launch(stream.stream())? };
        stream.synchronize()?;
        output.to_vec()
    };
    Ok([replay(captured)?, replay(rerouted)?])
}
