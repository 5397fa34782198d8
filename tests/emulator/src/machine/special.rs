//! Sources: registers, constants, and the special registers, which say where a lane is (PTX ISA 10).

use super::cluster::Cluster;
use super::warp::Row;
use crate::ir::{Special, Src};

impl Cluster<'_> {
    /// The values of a source.
    pub(crate) fn row(&self, w: usize, src: Src) -> Row {
        let warp = &self.warps[w];
        if let Some(row) = warp.plain(src) {
            return row;
        }
        let Src::Special(special) = src else { return [0; 32] };
        let env = &self.env;
        let cta = &self.ctas[warp.cta];
        let [x, y, _] = env.block;
        let thread = |lane: usize| warp.index * 32 + lane as u32;
        let counts: [u32; 3] = std::array::from_fn(|i| env.grid[i] / env.cluster[i]);
        let at = |lane: usize| match special {
            Special::Tid(0) => thread(lane) % x,
            Special::Tid(1) => thread(lane) / x % y,
            Special::Tid(_) => thread(lane) / x / y,
            Special::Ntid(i) => env.block[i],
            Special::Ctaid(i) => cta.index[i],
            Special::Nctaid(i) => env.grid[i],
            Special::ClusterId(i) => self.place[i],
            Special::NclusterId(i) => counts[i],
            Special::ClusterCtaid(i) => cta.index[i] % env.cluster[i],
            Special::ClusterNctaid(i) => env.cluster[i],
            Special::ClusterCtarank => cta.rank,
            Special::ClusterNctarank => self.ctas.len() as u32,
            Special::LaneId => lane as u32,
            Special::WarpId => warp.index,
            Special::NwarpId => env.block.iter().product::<u32>().div_ceil(32),
            Special::SmId => (self.id * self.ctas.len() as u32 + cta.rank) % env.options.sm_count,
            Special::NsmId => env.options.sm_count,
            Special::LanemaskEq => 1 << lane,
            Special::LanemaskLt => (1 << lane) - 1,
            Special::LanemaskLe => ((2u64 << lane) - 1) as u32,
            Special::LanemaskGt => !(((2u64 << lane) - 1) as u32),
            Special::LanemaskGe => !((1 << lane) - 1),
            Special::Clock => self.stats.warp_instructions as u32,
            Special::DynamicSmemSize => env.smem_bytes,
        };
        std::array::from_fn(|lane| u64::from(at(lane)))
    }
}
