//! The weights of a layer, from safetensors in DeepSeek-V3's layout, or made up.
//!
//! | tensor, after `model.layers.L.mlp.` | element type | shape |
//! | --- | --- | --- |
//! | `gate.weight` | `BF16` | `[E, H]` |
//! | `experts.X.gate_proj.weight`, `experts.X.up_proj.weight` | `F8_E4M3` | `[I, H]` |
//! | `experts.X.down_proj.weight` | `F8_E4M3` | `[H, I]` |
//! | each of the three with `weight_scale_inv` | `F32` | `[N / 128, K / 128]` of its `[N, K]` |
//!
//! An element is its code times its scale, in spite of the name. H and I must be multiples of 128.

use crate::layer::fp8::{Fp8, quantise_blocks};
use crate::layer::numbers::normal;
use half::bf16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// The dimensions of the made-up layer: experts, hidden, intermediate.
const RANDOM: [usize; 3] = [8, 512, 256];

/// The files of a checkpoint, or those that are needed.
pub struct Checkpoint<'a> {
    files: Vec<SafeTensors<'a>>,
}

/// Weights `[n, k]` with a scale for each 128 x 128, as they lie in the file.
pub struct Matrix<'a> {
    pub codes: &'a [u8],
    pub scales: Vec<f32>,
}

/// The three matrices of an expert.
pub struct Expert<'a> {
    pub gate: Matrix<'a>,
    pub up: Matrix<'a>,
    pub down: Matrix<'a>,
}

/// The weights of a layer.
pub struct Layer<'a> {
    pub hidden: usize,
    pub intermediate: usize,
    /// The router, `[E, H]`.
    pub gate: Vec<bf16>,
    pub each: Vec<Expert<'a>>,
}

impl<'a> Checkpoint<'a> {
    pub fn new(files: &'a [Vec<u8>]) -> Result<Self, Box<dyn Error>> {
        let read = |bytes: &'a Vec<u8>| SafeTensors::deserialize(bytes);
        let files = files.iter().map(read).collect::<Result<_, _>>();
        Ok(Self { files: files.map_err(|error| format!("this is no safetensors file: {error}"))? })
    }

    /// Every expert that the router of the layer knows.
    pub fn layer(&self, layer: usize) -> Result<Layer<'a>, Box<dyn Error>> {
        let named = |name: &str| format!("model.layers.{layer}.mlp.{name}");
        let gate = self.tensor(&named("gate.weight"), Dtype::BF16)?;
        let &[experts, hidden] = gate.shape() else {
            return Err(format!("`{}` must be [E, H]", named("gate.weight")).into());
        };
        let first = self.tensor(&named("experts.0.gate_proj.weight"), Dtype::F8_E4M3)?;
        let intermediate = *first.shape().first().unwrap_or(&0);
        let expert = |expert: usize| {
            let matrix = |name, shape| {
                self.matrix(&named(&format!("experts.{expert}.{name}.weight")), shape)
            };
            Ok::<_, Box<dyn Error>>(Expert {
                gate: matrix("gate_proj", [intermediate, hidden])?,
                up: matrix("up_proj", [intermediate, hidden])?,
                down: matrix("down_proj", [hidden, intermediate])?,
            })
        };
        let each = (0..experts).map(expert).collect::<Result<_, _>>()?;
        let halves = gate.data().as_chunks().0.iter();
        let gate = halves.map(|&bytes| bf16::from_le_bytes(bytes)).collect();
        Ok(Layer { hidden, intermediate, gate, each })
    }

    fn matrix(&self, name: &str, [n, k]: [usize; 2]) -> Result<Matrix<'a>, Box<dyn Error>> {
        let codes = self.tensor(name, Dtype::F8_E4M3)?;
        let scales = self.tensor(&format!("{name}_scale_inv"), Dtype::F32)?;
        let whole = [n, k].iter().all(|side| side.is_multiple_of(128));
        if !whole || codes.shape() != [n, k] || scales.shape() != [n / 128, k / 128] {
            let (codes, scales) = (codes.shape(), scales.shape());
            let needed = format!("[{n}, {k}], multiples of 128, with a scale for each 128 x 128");
            return Err(
                format!("`{name}` is {codes:?} with scales {scales:?}: not {needed}").into()
            );
        }
        let words = scales.data().as_chunks().0.iter();
        let scales = words.map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Ok(Matrix { codes: codes.data(), scales })
    }

    fn tensor(&self, name: &str, dtype: Dtype) -> Result<TensorView<'a>, Box<dyn Error>> {
        let tensor = self.files.iter().find_map(|file| file.tensor(name).ok());
        let tensor = tensor.ok_or_else(|| format!("no file has a tensor `{name}`"))?;
        if tensor.dtype() != dtype {
            let given = tensor.dtype();
            return Err(format!("`{name}` holds {given:?}, but {dtype:?} is needed").into());
        }
        Ok(tensor)
    }
}

impl Layer<'_> {
    pub fn experts(&self) -> usize {
        self.each.len()
    }

    /// `[E, 2 * I, H]`: the rows of an expert's gate, then those of its up, as one product takes them.
    pub fn gate_up(&self) -> Fp8 {
        self.packed(|expert| vec![&expert.gate, &expert.up])
    }

    /// `[E, H, I]`.
    pub fn down(&self) -> Fp8 {
        self.packed(|expert| vec![&expert.down])
    }

    fn packed<'s>(&'s self, parts: impl Fn(&'s Expert<'s>) -> Vec<&'s Matrix<'s>>) -> Fp8 {
        let mut packed = Fp8 { codes: Vec::new(), scales: Vec::new() };
        for matrix in self.each.iter().flat_map(parts) {
            packed.codes.extend_from_slice(matrix.codes);
            packed.scales.extend_from_slice(&matrix.scales);
        }
        packed
    }
}

impl fmt::Display for Layer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hidden, intermediate, .. } = self;
        write!(f, "{} experts, hidden {hidden}, intermediate {intermediate}", self.experts())
    }
}

/// Writes a small random layer to a new file in the system's folder for temporary ones.
pub fn write_random(layer: usize) -> Result<PathBuf, Box<dyn Error>> {
    let [experts, hidden, intermediate] = RANDOM;
    let named = |name: &str| format!("model.layers.{layer}.mlp.{name}");
    let mut tensors: BTreeMap<String, (Dtype, [usize; 2], Vec<u8>)> = BTreeMap::new();
    // Scores of about one: some experts get many rows, some few.
    let gate = normal(1, experts * hidden, 1.0 / (hidden as f64).sqrt());
    let gate = gate.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensors.insert(named("gate.weight"), (Dtype::BF16, [experts, hidden], gate));
    for expert in 0..experts {
        let parts = [
            ("gate_proj", [intermediate, hidden]),
            ("up_proj", [intermediate, hidden]),
            ("down_proj", [hidden, intermediate]),
        ];
        for (part, (name, [n, k])) in parts.into_iter().enumerate() {
            // Weights that keep the size of what they multiply.
            let seed = 100 + (expert * parts.len() + part) as u64;
            let w = quantise_blocks(&normal(seed, n * k, 1.0 / (k as f64).sqrt()), k);
            let name = named(&format!("experts.{expert}.{name}.weight"));
            let scales = w.scales.iter().flat_map(|x| x.to_le_bytes()).collect();
            let shape = [n / 128, k / 128];
            tensors.insert(format!("{name}_scale_inv"), (Dtype::F32, shape, scales));
            tensors.insert(name, (Dtype::F8_E4M3, [n, k], w.codes));
        }
    }
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        TensorView::new(*dtype, shape.to_vec(), bytes).map(|view| (name, view))
    });
    let file = format!("expert-gemm-layer-{}.safetensors", std::process::id());
    let path = std::env::temp_dir().join(file);
    safetensors::serialize_to_file(views.collect::<Result<Vec<_>, _>>()?, None, &path)?;
    Ok(path)
}
