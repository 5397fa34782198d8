//! What the grouped products have in common: activations and weights behind tensor maps, tiles of the output.

use super::Work;
use super::limits::row_tiles;
use crate::abi::fp8_block::wide::SET;
use crate::abi::{ElementType, MAPS, Shares, Variant, WeightOrder};
use crate::driver::{L2Promotion, OutOfBounds, Swizzle, TensorMapSpec};
use crate::tensor::Dims;

/// Bytes of a row of a box: one 128-byte swizzle atom, 128 elements of one byte.
const BOX_BYTES: u64 = 128;

/// The matrices of a grouped product, both of one-byte elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operands {
    /// Address of the activations `[rows, k]`.
    pub(super) a: u64,
    /// Address of the weights `[experts, n, k]`.
    pub(super) b: u64,
    pub(super) shape: Shape,
}

/// The numbers of a grouped product.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub(super) rows: u64,
    pub(super) experts: u64,
    pub(super) n: u64,
    pub(super) k: u64,
}

impl Operands {
    /// What the maps depend on beside the shapes.
    pub(crate) const fn addresses(&self) -> [u64; 2] {
        [self.a, self.b]
    }

    /// The activations in up to four boxes, then the weights; `None` where a kernel has no use for one.
    pub(crate) fn maps(&self, variant: &Variant) -> [Option<TensorMapSpec>; MAPS] {
        let Self { a, b, shape: Shape { rows, experts, n, k } } = *self;
        let map = |address, dims: &[u64], strides: &[u64], box_dims: &[u64]| TensorMapSpec {
            element: ElementType::U8,
            address,
            dims: Dims::new(dims),
            strides_bytes: Dims::new(strides),
            box_dims: Dims::new(box_dims),
            swizzle: Swizzle::Bytes128,
            // NOTE(measured): 256 bytes cost FP8 decode 2 to 5 % on an H200, and prefill nothing; not measured elsewhere.
            l2_promotion: L2Promotion::None,
            out_of_bounds: OutOfBounds::Zero,
        };
        let tokens = |box_rows: u64| map(a, &[k, rows], &[k], &[BOX_BYTES, box_rows]);
        let weights = |box_rows: u64| match variant.weight_order {
            WeightOrder::Rows => {
                map(b, &[k, n, experts], &[k, k.saturating_mul(n)], &[BOX_BYTES, box_rows, 1])
            }
            // Rows `i`, `t` and `j` of a set, and the sets of all experts.
            WeightOrder::Sets => {
                let set = u64::from(SET);
                let sets = experts.saturating_mul(n) / set;
                let strides = [1, 8, 2, set].map(|rows| k.saturating_mul(rows));
                map(b, &[k, 2, 4, 4, sets], &strides, &[BOX_BYTES, 2, 4, 4, box_rows / set])
            }
        };
        let used = |rows: u32| (rows != 0).then_some(u64::from(rows));
        let [a, b, c, d, columns] = variant.box_rows.map(used);
        let [a, b, c, d] = [a, b, c, d].map(|rows| rows.map(tokens));
        [a, b, c, d, columns.map(weights)]
    }
}

impl Shape {
    /// The blocks of a cluster take neighbouring column blocks, so an odd last one leaves a block idle. Where they share weights
    /// fewer do, and this is a bound.
    pub(super) fn most_work(self, variant: &Variant) -> Work {
        let [rows, columns, _] = variant.tile.map(|side| u64::from(side.max(1)));
        let (row_tiles, column_tiles) =
            (row_tiles(self.rows, self.experts, rows), self.n.div_ceil(columns));
        let cluster = u64::from(variant.cluster.max(1));
        let tile_cost = u128::from(rows).saturating_mul(u128::from(columns));
        Work {
            clusters: row_tiles.saturating_mul(column_tiles.div_ceil(cluster)),
            tiles: row_tiles.saturating_mul(column_tiles),
            tile_cost: tile_cost.saturating_mul(u128::from(self.k)),
        }
    }

    /// The work when all experts have the same number of rows and cut them into equal tiles, which cost what their rows
    /// cost, and what a tile costs beside them. A cluster's last block may be idle, as in [`most_work`](Self::most_work), and counts.
    pub(super) fn even_work(self, variant: &Variant) -> Work {
        let [most_rows, columns, _] = variant.tile.map(|side| u64::from(side.max(1)));
        let active = self.experts.min(self.rows);
        let rows = self.rows.div_ceil(active.max(1));
        let row_tiles = rows.div_ceil(most_rows);
        let height = u128::from(rows.div_ceil(row_tiles.max(1)));
        let cluster = u64::from(variant.cluster.max(1));
        let column_tiles = self.n.div_ceil(columns);
        let side_by_side = |rows: u64| rows.saturating_mul(column_tiles.div_ceil(cluster));
        let clusters = match variant.shares {
            Shares::Tokens => side_by_side(row_tiles),
            Shares::Weights => (row_tiles / cluster)
                .saturating_mul(column_tiles)
                .saturating_add(side_by_side(row_tiles % cluster)),
        };
        let clusters = active.saturating_mul(clusters);
        let rows = height + u128::from(variant.rows_beside);
        let tile_cost = rows.saturating_mul(u128::from(columns));
        Work {
            clusters,
            tiles: clusters.saturating_mul(cluster),
            tile_cost: tile_cost.saturating_mul(u128::from(self.k)),
        }
    }

    /// A multiply and an add for each product, when every row is owned by an expert.
    pub(super) const fn flops(self) -> u128 {
        if self.experts == 0 {
            return 0;
        }
        2 * self.rows as u128 * self.n as u128 * self.k as u128
    }
}
