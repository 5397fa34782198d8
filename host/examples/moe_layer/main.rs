//! A whole mixture-of-experts layer from bf16 to bf16, with weights of a checkpoint: route, permute, quantise, gate and
//! up, `silu(gate) * up`, quantise, down, combine.
//!
//! ```text
//! cargo run --release -p expert-gemm --example moe_layer                     FP8: 1x128 and 128x128 scales
//! cargo run --release -p expert-gemm --example moe_layer -- --mxfp8          MXFP8: a power of two for 32 elements
//! cargo run --release -p expert-gemm --example moe_layer -- --layer 3 model-00004-of-000163.safetensors ...
//! ```
//!
//! | option | meaning | default |
//! | --- | --- | --- |
//! | `--mxfp8` | quantise to MXFP8 instead of FP8 | |
//! | `--cpu` | use the CPU backend even if there is a GPU | |
//! | `--layer L` | the layer `model.layers.L.mlp` of the checkpoint | 3 |
//! | `--tokens T` | rows of random activations | 48 |
//! | `--top-k C` | experts of a token | 2 |
//! | files | safetensors that hold the layer, in DeepSeek-V3's layout ([`checkpoint`]) | a small random layer is written |
//!
//! The two grouped products, and the quantisation to MXFP8, run on the GPU where there is one. Everything else, routing,
//! permutation, quantisation to FP8, `silu * mul` and the weighted sum, runs on the CPU, with copies back and forth: the
//! crate has no kernels for it. It is an example of the calls and their order, not of speed.
//!
//! The result is compared with the same layer in `f64`, computed token by token from the checkpoint's own tensors without
//! packing them; the example fails if they are further apart than quantisation explains.

// A program exports nothing; `pub` says what its modules offer each other.
#![allow(unreachable_pub)]

mod arguments;
mod checkpoint;
#[path = "../layer/mod.rs"]
mod layer;
mod projection;
mod reference;
mod router;

use arguments::Arguments;
use checkpoint::{Checkpoint, Layer};
use half::bf16;
use layer::backend::Backend;
use layer::numbers::{activated, as_bf16, as_f64, difference, normal};
use projection::Projection;
use router::Routing;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let files = read(&arguments)?;
    let weights = Checkpoint::new(&files)?.layer(arguments.layer)?;
    println!("{weights}");
    let x = normal(3, arguments.tokens * weights.hidden, 1.0);

    let format = arguments.format;
    let backend = Backend::open(arguments.cpu, |info| format.fit(info))?;
    let (output, routing) = forward(&backend, &arguments, &weights, &x)?;
    judge(&output, &reference::layer(&weights, &routing, &x), weights.hidden)
}

/// The files of the checkpoint; a small random one is written, read and removed where none is named.
fn read(arguments: &Arguments) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    if arguments.files.is_empty() {
        let path = checkpoint::write_random(arguments.layer)?;
        let file = read(&path);
        std::fs::remove_file(path)?;
        return Ok(vec![file?]);
    }
    Ok(arguments.files.iter().map(read).collect::<Result<_, _>>()?)
}

/// The layer: `[tokens, hidden]` to `[tokens, hidden]`.
fn forward(
    backend: &Backend,
    arguments: &Arguments,
    weights: &Layer<'_>,
    x: &[bf16],
) -> Result<(Vec<bf16>, Routing), Box<dyn Error>> {
    let Layer { hidden, intermediate, .. } = *weights;
    // Once, when a model is loaded.
    let load = |w, shape| Projection::load(arguments.format, backend, w, shape, weights.experts());
    let gate_up = load(weights.gate_up(), [2 * intermediate, hidden])?;
    let down = load(weights.down(), [hidden, intermediate])?;

    // For each batch.
    let routing = Routing::softmax_top_k(x, &weights.gate, hidden, arguments.top_k)?;
    let groups = routing.groups();
    println!("{} rows, experts get {:?}", groups.rows, groups.rows_of);
    let product = gate_up.apply(backend, &routing.permuted(x, hidden), &groups)?;
    let activated = as_bf16(&activated(&as_f64(&product), intermediate));
    let rows = down.apply(backend, &activated, &groups)?;
    Ok((routing.combined(&rows, hidden), routing))
}

/// Fails if the output is not that of the layer, as far as 8 bits can tell: as a whole, and for any token.
fn judge(output: &[bf16], exact: &[f64], hidden: usize) -> Result<(), Box<dyn Error>> {
    let output = as_f64(output);
    let tokens = output.chunks(hidden).zip(exact.chunks(hidden));
    let worst = tokens.map(|(got, want)| difference(got, want)).fold(0.0, f64::max);
    let whole = difference(&output, exact);
    println!("1 - 2xy / (xx + yy) = {whole:.2e}, for the worst token {worst:.2e}");
    // Activations are rounded to four significant bits twice, and for MXFP8 the weights once more.
    if !(1e-5..5e-3).contains(&whole) || worst > 1e-2 {
        return Err("that is not what quantisation explains".into());
    }
    Ok(())
}
