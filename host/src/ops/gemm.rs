//! What the grouped products have in common: activations, weights and some outputs behind tensor maps, tiles of the output.

use super::Work;
use super::limits::row_tiles;
use crate::abi::fp8_block::wide::SET;
use crate::abi::{ElementType, MAPS, Shares, Variant, WeightOrder};
use crate::driver::{L2Promotion, OutOfBounds, Swizzle, TensorMapSpec};
use crate::tensor::Dims;

/// What the maps of a call depend on: addresses of the activations, of the weights, and of the output if it has a map.
pub(crate) type Addresses = [u64; 3];

/// Bytes of a row of a box: one 128-byte swizzle atom, 128 elements of one byte.
const BOX_BYTES: u64 = 128;

/// The matrices of a grouped product: activations and weights of one-byte elements, and the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operands {
    /// Address of the activations `[rows, k]`.
    pub(super) a: u64,
    /// Address of the weights `[experts, n, k]`.
    pub(super) b: u64,
    /// Address of the output `[rows, n]`.
    pub(super) output: u64,
    pub(super) output_element: ElementType,
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

/// Whether a kernel stores through a map of the output.
fn has_output_map(variant: &Variant) -> bool {
    variant.output_box != [0; 2]
}

impl Operands {
    /// What the maps depend on beside the shapes.
    pub(crate) fn addresses(&self, variant: &Variant) -> Addresses {
        [self.a, self.b, if has_output_map(variant) { self.output } else { 0 }]
    }

    /// The activations in up to four boxes, or the output and the activations in up to three; then the weights in up to two. `None`
    /// where a kernel has no use for one.
    pub(crate) fn maps(&self, variant: &Variant) -> [Option<TensorMapSpec>; MAPS] {
        let Self { a, b, output, output_element, shape: Shape { rows, experts, n, k } } = *self;
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
        let [a, b, c, d, columns, half] = variant.box_rows.map(used);
        let [a, b, c, d] = [a, b, c, d].map(|rows| rows.map(tokens));
        let output = has_output_map(variant).then(|| {
            let pitch = n.saturating_mul(output_element.bytes());
            let map = map(output, &[n, rows], &[pitch], &variant.output_box.map(u64::from));
            TensorMapSpec { element: output_element, ..map }
        });
        [output.or(a), b, c, d, columns.map(weights), half.map(weights)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::VARIANTS;
    use crate::abi::fp8_block::wide::OUTPUT_MAP;

    const OPERANDS: Operands = Operands {
        a: 0x1000,
        b: 0x2000,
        output: 0x3000,
        output_element: ElementType::F16,
        shape: Shape { rows: 300, experts: 3, n: 256, k: 384 },
    };

    fn variant(symbol: &str) -> &'static Variant {
        VARIANTS.iter().find(|variant| variant.symbol == symbol).expect("a variant")
    }

    #[test]
    fn a_kernel_that_stores_boxes_has_the_map_of_the_output() {
        let wide = variant("fp8_block_sm90_wide_f16");
        let maps = OPERANDS.maps(wide);
        let output = maps[OUTPUT_MAP].as_ref().expect("a map of the output");
        assert_eq!((output.address, output.element), (0x3000, ElementType::F16));
        assert_eq!(output.dims.as_slice(), [256, 300]);
        assert_eq!(output.strides_bytes.as_slice(), [512]);
        assert_eq!(output.box_dims.as_slice(), [64, 16]);
        assert_eq!(output.validate(), Ok(()));
        let addresses = maps.each_ref().map(|map| map.as_ref().map(|map| map.address));
        assert_eq!(addresses, [Some(0x3000), None, Some(0x1000), Some(0x1000), Some(0x2000), None]);
    }

    #[test]
    fn maps_are_made_anew_for_another_output_only_where_it_has_one() {
        let elsewhere = Operands { output: 0x4000, ..OPERANDS };
        let [flat, wide] = ["fp8_block_sm90_f16", "fp8_block_sm90_wide_f16"].map(variant);
        assert_eq!(OPERANDS.addresses(flat), elsewhere.addresses(flat));
        assert_eq!(OPERANDS.maps(flat), elsewhere.maps(flat));
        let boxes = OPERANDS.maps(flat).map(|map| map.map(|map| map.box_dims.as_slice()[1]));
        assert_eq!(boxes, [8, 16, 32, 64, 128, 64].map(Some), "halves have a map of their own");
        assert_ne!(OPERANDS.addresses(wide), elsewhere.addresses(wide));
    }
}
