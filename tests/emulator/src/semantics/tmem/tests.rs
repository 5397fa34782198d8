use std::collections::HashSet;

use super::*;

#[test]
fn addresses() {
    for lane in 0..LANES {
        for column in 0..COLUMNS {
            assert_eq!(place(address(lane, column)), (lane, column));
        }
    }
    assert_eq!(address(96, 4), 0x0060_0004);
}

#[test]
fn a_copied_tile_lands_where_the_instruction_reads() {
    // A tile in memory, through the copy of 32 rows of 16 bytes, into tensor memory.
    for row in 0..128 {
        for block in 0..4 {
            let offset = scale_offset_in_tile(row, block);
            let (copied_row, word, byte) = (offset / 16, offset % 16 / 4, offset % 4);
            let (lane, column) = scale_word(row as u32);
            assert!(cp_32x128b_warpx4_lanes(copied_row as u32).contains(&lane));
            assert_eq!((word as u32, byte), (column, block));
        }
    }
    // Every lane is written exactly once.
    let lanes: HashSet<u32> = (0..32).flat_map(cp_32x128b_warpx4_lanes).collect();
    assert_eq!(lanes.len() as u32, LANES);
    assert_eq!([1, 32, 33, 128, 192, 256].map(scale_columns), [1, 1, 2, 4, 6, 8]);
}

#[test]
fn tiles_fill_their_memory() {
    for (rows, blocks) in [(128, 4), (256, 12), (384, 5), (100, 3)] {
        let bytes = scale_bytes(rows, blocks);
        let (all_rows, all_blocks) = (rows.next_multiple_of(128), blocks.next_multiple_of(4));
        let mut seen = vec![false; bytes];
        for row in 0..all_rows {
            for block in 0..all_blocks {
                let at = scale_offset(row, block, blocks);
                assert!(!std::mem::replace(&mut seen[at], true));
            }
        }
        assert!(seen.iter().all(|&s| s));
    }
    assert_eq!(scale_offset(33, 2, 4), 16 + 4 + 2);
    assert_eq!(scale_offset(0, 4, 8), 512);
    assert_eq!(scale_offset(128, 0, 8), 1024);
}

#[test]
fn allocation_rules() {
    use AllocError as E;
    let mut tmem = Allocator::default();
    for n in [0, 16, 31, 33, 48, 1024] {
        assert_eq!(tmem.alloc(n), Err(E::Columns(n)));
    }
    assert_eq!(tmem.alloc(256), Ok(Some(0)));
    assert_eq!(tmem.alloc(512), Err(E::Growing { last: 256, now: 512 }));
    assert_eq!(tmem.alloc(128), Ok(Some(256)));
    assert_eq!(tmem.alloc(128), Ok(Some(384)));
    assert_eq!(tmem.alloc(32), Ok(None), "full: blocks");
    assert_eq!(tmem.dealloc(256, 256), Err(E::NotAllocated { address: 256, columns: 256 }));
    assert_eq!(tmem.dealloc(257, 128), Err(E::NotAllocated { address: 257, columns: 128 }));
    assert_eq!(tmem.dealloc(256, 128), Ok(()));
    assert_eq!(tmem.dealloc(256, 128), Err(E::NotAllocated { address: 256, columns: 128 }));
    assert!(tmem.is_allocated(255) && !tmem.is_allocated(256) && tmem.is_allocated(384));
    assert_eq!(tmem.alloc(32), Ok(Some(256)));
    assert_eq!(tmem.alloc(64), Err(E::Growing { last: 32, now: 64 }));
    tmem.relinquish();
    assert_eq!(tmem.alloc(32), Err(E::Relinquished));
    assert_eq!(tmem.exit(), Err(E::Leak(256 + 128 + 32)));
    for (address, columns) in [(0, 256), (384, 128), (256, 32)] {
        tmem.dealloc(address, columns).unwrap();
    }
    assert_eq!(tmem.exit(), Ok(()));
}
