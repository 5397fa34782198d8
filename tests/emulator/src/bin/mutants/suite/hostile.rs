//! Group tables with one broken entry, so that no bit of the status word hides another. They have five experts with rows.

use super::Launch;
use expert_gemm_tests::mx::routing::MxTables;
use expert_gemm_tests::routing::Tables;

/// What may be wrong with rows.
pub(super) const ROW_FAULTS: [fn(&mut Tables); 13] = [
    |t| t.sizes[1][0] = -1,
    |t| t.sizes[2][0] = i32::MIN,
    |t| t.offsets[1] = -1,
    |t| t.offsets[3] = i32::MAX - 3,
    |t| t.offsets[4] += 1,
    |t| t.sizes[1][1] += 128,
    |t| t.sizes[2][2] -= 128,
    |t| t.sizes[3] = [0, -5, i32::MAX],
    |t| t.sizes[4][0] = 1000,
    // Overlaps: by one row in the middle, and with the group that ends at the last row.
    |t| t.offsets[1] += 1,
    |t| t.offsets[0] = t.offsets[4],
    // A refused group overlaps nothing.
    |t| (t.sizes[1][1], t.offsets[1]) = (-1, t.offsets[2]),
    |t| (t.sizes[1][2], t.offsets[1]) = (-1, t.offsets[2]),
];

/// What may be wrong with scales.
const SCALE_FAULTS: [fn(&mut MxTables); 5] = [
    |t| t.scale_offsets[1] = -128,
    |t| t.scale_offsets[2] += 64,
    |t| t.scale_offsets[3] = t.scale_offsets[4] + 128,
    // Scales of two groups, without and with a row that they share.
    |t| t.scale_offsets[4] = t.scale_offsets[0],
    |t| (t.groups.offsets[2], t.scale_offsets[2]) = (t.groups.offsets[3] - 1, t.scale_offsets[3]),
];

/// The same launch with each of the faults in its tables.
pub(super) fn launches<P>(launch: impl Fn() -> Launch<P, MxTables>) -> Vec<Launch<P, MxTables>> {
    let with = |fault: &dyn Fn(&mut MxTables)| {
        let mut launch = launch();
        fault(&mut launch.tables);
        Launch { overlap: true, ..launch }
    };
    let rows = ROW_FAULTS.iter().map(|fault| with(&|tables| fault(&mut tables.groups)));
    rows.chain(SCALE_FAULTS.iter().map(|fault| with(fault))).collect()
}
