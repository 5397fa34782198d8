//! Models that the demo knows: one gate-and-up projection each, as one shard of expert parallelism sees it.

use clap::ValueEnum;

/// A mixture-of-experts model.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
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
    /// Kimi-K2: 384 experts over 8 GPUs.
    KimiK2,
}

/// What the projection needs to know of a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dims {
    /// The model's name.
    pub name: &'static str,
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
        let (name, experts, shards, hidden, intermediate) = match self {
            Self::DeepseekV3 => ("DeepSeek-V3", 256, 8, 7168, 2048),
            Self::Qwen3_235b => ("Qwen3-235B-A22B", 128, 4, 4096, 1536),
            Self::Qwen3_30b => ("Qwen3-30B-A3B", 128, 1, 2048, 768),
            Self::Glm45 => ("GLM-4.5", 160, 8, 5120, 1536),
            Self::KimiK2 => ("Kimi-K2", 384, 8, 7168, 2048),
        };
        Dims { name, experts, shards, top_k: 8, hidden, intermediate }
    }
}

impl Dims {
    /// Experts of one shard.
    pub const fn local_experts(&self) -> usize {
        self.experts / self.shards
    }
}
