//! Models and their projections, as one shard of expert parallelism sees them.

use clap::ValueEnum;
use std::fmt;

/// A mixture-of-experts model.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub enum Model {
    /// DeepSeek-V3: 256 experts over 8 GPUs.
    DeepseekV3,
    /// Qwen3-235B-A22B: 128 experts over 4 GPUs.
    #[value(name = "qwen3-235b")]
    Qwen3_235b,
    /// Qwen3-30B-A3B: 128 experts on one GPU.
    #[value(name = "qwen3-30b")]
    Qwen3_30b,
    /// GLM-4.5: 160 experts over 8 GPUs.
    #[value(name = "glm-4.5")]
    Glm45,
    /// GLM-4.5-Air: 128 experts over 4 GPUs.
    #[value(name = "glm-4.5-air")]
    Glm45Air,
    /// Kimi-K2: 384 experts over 8 GPUs.
    KimiK2,
    /// DeepSeek-V4-Flash: 256 experts over 8 GPUs.
    DeepseekV4Flash,
    /// DeepSeek-V4-Pro: 384 experts over 16 GPUs.
    DeepseekV4Pro,
    /// Llama-4-Scout: 16 experts on one GPU.
    #[value(name = "llama-4-scout")]
    Llama4Scout,
}

/// The numbers of a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dims {
    /// The model's name.
    pub name: &'static str,
    /// The name that cases carry.
    pub key: &'static str,
    /// Routed experts of a layer.
    pub experts: usize,
    /// GPUs that share them.
    pub shards: usize,
    /// Experts that a token picks.
    pub top_k: u32,
    /// Width of the residual stream: the reduction of gate and up.
    pub hidden: usize,
    /// Width inside an expert: gate and up have twice as many columns.
    pub intermediate: usize,
}

impl Model {
    /// The numbers of the model.
    pub const fn dims(self) -> Dims {
        let (key, name, experts, shards, hidden, intermediate) = match self {
            Self::DeepseekV3 => ("dsv3", "DeepSeek-V3", 256, 8, 7168, 2048),
            Self::Qwen3_235b => ("qwen3", "Qwen3-235B-A22B", 128, 4, 4096, 1536),
            Self::Qwen3_30b => ("qwen3_30b", "Qwen3-30B-A3B", 128, 1, 2048, 768),
            Self::Glm45 => ("glm45", "GLM-4.5", 160, 8, 5120, 1536),
            Self::Glm45Air => ("glm45_air", "GLM-4.5-Air", 128, 4, 4096, 1408),
            Self::KimiK2 => ("kimik2", "Kimi-K2", 384, 8, 7168, 2048),
            Self::DeepseekV4Flash => ("dsv4_flash", "DeepSeek-V4-Flash", 256, 8, 4096, 2048),
            Self::DeepseekV4Pro => ("dsv4_pro", "DeepSeek-V4-Pro", 384, 16, 7168, 3072),
            Self::Llama4Scout => ("llama4_scout", "Llama-4-Scout", 16, 1, 5120, 8192),
        };
        let top_k = match self {
            Self::DeepseekV4Flash | Self::DeepseekV4Pro => 6,
            Self::Llama4Scout => 1,
            _ => 8,
        };
        Dims { name, key, experts, shards, top_k, hidden, intermediate }
    }
}

impl Dims {
    /// Experts of one shard.
    pub const fn local_experts(&self) -> usize {
        self.experts / self.shards
    }
}

/// One of the two products of an expert.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// From the residual stream: gate and up side by side.
    GateUp,
    /// Back to the residual stream.
    Down,
}

/// A projection of a model: the weights `[N, K]` of one expert.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Projection {
    /// Whose.
    pub model: Model,
    /// Which.
    pub part: Part,
}

impl Projection {
    /// Columns of the output.
    pub const fn n(self) -> usize {
        let Dims { hidden, intermediate, .. } = self.model.dims();
        match self.part {
            Part::GateUp => 2 * intermediate,
            Part::Down => hidden,
        }
    }

    /// Elements of the reduction.
    pub const fn k(self) -> usize {
        let Dims { hidden, intermediate, .. } = self.model.dims();
        match self.part {
            Part::GateUp => hidden,
            Part::Down => intermediate,
        }
    }
}

/// `dsv3_gateup`, as in the names of cases.
impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::GateUp => "gateup",
            Part::Down => "down",
        };
        write!(f, "{}_{part}", self.model.dims().key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_one_that_the_kernels_take() {
        let mut keys = std::collections::HashSet::new();
        for &model in Model::value_variants() {
            let dims = model.dims();
            assert!(dims.experts.is_multiple_of(dims.shards), "{model:?}");
            assert!(keys.insert(dims.key), "{model:?}");
            for part in [Part::GateUp, Part::Down] {
                let projection = Projection { model, part };
                let (n, k) = (projection.n(), projection.k());
                assert!(n.is_multiple_of(128) && k.is_multiple_of(128), "{projection}: {n}, {k}");
            }
        }
        let gateup = Projection { model: Model::DeepseekV3, part: Part::GateUp };
        assert_eq!((gateup.n(), gateup.k(), &*gateup.to_string()), (4096, 7168, "dsv3_gateup"));
    }
}
