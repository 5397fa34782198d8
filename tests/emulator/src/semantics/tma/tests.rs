use std::collections::HashMap;

use super::*;

fn matrix(columns: u64, rows: u64, box_dims: [u32; 2], swizzle: Swizzle) -> TileMap {
    TileMap {
        rank: 2,
        dims: [columns, rows, 0, 0, 0],
        strides: [columns.next_multiple_of(16), 0, 0, 0],
        box_dims: [box_dims[0], box_dims[1], 0, 0, 0],
        element_bytes: 1,
        swizzle,
    }
}

/// Every byte of the box, by its address: where it comes from.
fn bytes(map: &TileMap, start: &[i32], shared: u32) -> HashMap<u32, Option<u64>> {
    let mut found = HashMap::new();
    for row in map.rows(start).unwrap() {
        assert_eq!(row.before + row.bytes + row.after, map.inner_bytes());
        for (address, global, len) in row.pieces(shared, map.swizzle) {
            assert!(address / 16 == (address + len - 1) / 16, "within a chunk");
            for i in 0..len {
                let source = global.map(|g| g + u64::from(i));
                assert!(found.insert(address + i, source).is_none(), "written twice");
            }
        }
    }
    assert_eq!(found.len() as u32, map.box_bytes());
    assert!(found.keys().all(|a| (shared..shared + map.box_bytes()).contains(a)));
    found
}

#[test]
fn every_byte_of_every_box() {
    // Element by element, as the definition says it, for starts around every edge.
    for (columns, rows) in [(128, 64), (200, 13), (48, 1)] {
        for swizzle in [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128] {
            let inner = if swizzle == Swizzle::None { 48 } else { swizzle.span() };
            let map = matrix(columns, rows, [inner, 8], swizzle);
            map.check().unwrap();
            for x in [-300, -129, -17, -1, 0, 1, 16, 100, 127, 128, 199, 200, i32::MAX] {
                for y in [i32::MIN, -9, -8, -7, 0, 5, 12, 13, 60, 64] {
                    for shared in [0x400, 0x480, 0x500] {
                        let found = bytes(&map, &[x, y], shared);
                        for r in 0..8 {
                            for c in 0..inner {
                                let (gx, gy) =
                                    (i64::from(x) + i64::from(c), i64::from(y) + i64::from(r));
                                let inside = (0..columns as i64).contains(&gx)
                                    && (0..rows as i64).contains(&gy);
                                let stride = map.strides[0] as i64;
                                let expected = inside.then_some((gy * stride + gx) as u64);
                                let at = swizzle.apply(shared + r * inner + c);
                                assert_eq!(found[&at], expected, "{swizzle:?} {x} {y} {r} {c}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn five_dimensions() {
    let map = TileMap {
        rank: 5,
        dims: [20, 3, 4, 2, 5],
        strides: [48, 160, 1024, 4096],
        box_dims: [8, 2, 3, 2, 2],
        element_bytes: 2,
        swizzle: Swizzle::None,
    };
    map.check().unwrap();
    assert_eq!(map.box_bytes(), 16 * 2 * 3 * 2 * 2);
    let start = [14, 2, -1, 1, 3];
    let found = bytes(&map, &start, 0);
    let mut packed = 0;
    let span = |d: usize| 0..map.box_dims[d] as i32;
    for e in span(4) {
        for d in span(3) {
            for c in span(2) {
                for b in span(1) {
                    for a in span(0) {
                        let at = [a, b, c, d, e].map(i64::from);
                        let at: Vec<i64> =
                            at.iter().zip(start).map(|(x, s)| x + i64::from(s)).collect();
                        let inside = (0..5).all(|i| (0..map.dims[i] as i64).contains(&at[i]));
                        let offset = at[0] * 2
                            + (1..5).map(|i| at[i] * map.strides[i - 1] as i64).sum::<i64>();
                        let expected = inside.then_some(offset as u64);
                        assert_eq!(found[&packed], expected);
                        assert_eq!(found[&(packed + 1)], expected.map(|x| x + 1));
                        packed += 2;
                    }
                }
            }
        }
    }
}

#[test]
fn beyond_four_gigabytes() {
    let map = matrix(1 << 20, 1 << 13, [128, 1], Swizzle::B128);
    let row = map.rows(&[(1 << 20) - 64, (1 << 13) - 1]).unwrap().next().unwrap();
    assert_eq!(row.global, (1 << 33) - 64);
    assert_eq!((row.before, row.bytes, row.after), (0, 64, 64));
}

#[test]
fn stores_are_clipped_at_the_far_edges_only() {
    let map = matrix(100, 10, [128, 8], Swizzle::B128);
    let rows: Vec<BoxRow> = map.store_rows(&[0, 4]).unwrap().collect();
    assert_eq!(
        rows.iter().map(|r| r.bytes).collect::<Vec<_>>(),
        [100, 100, 100, 100, 100, 100, 0, 0]
    );
    assert_eq!(map.store_rows(&[-1, 4]).err(), Some(TmaError::NegativeStore(-1)));
    assert_eq!(map.rows(&[0]).err(), Some(TmaError::Coordinates(1)));
}

#[test]
fn limits() {
    let good = matrix(256, 64, [128, 64], Swizzle::B128);
    assert_eq!(good.check(), Ok(()));
    let check = |change: &dyn Fn(&mut TileMap)| {
        let mut map = good;
        change(&mut map);
        map.check().err()
    };
    assert_eq!(check(&|m| m.rank = 0), Some(TmaError::Rank(0)));
    assert_eq!(check(&|m| m.rank = 6), Some(TmaError::Rank(6)));
    assert_eq!(check(&|m| m.element_bytes = 3), Some(TmaError::ElementBytes(3)));
    assert_eq!(check(&|m| m.dims[1] = 0), Some(TmaError::Dimension(0)));
    assert_eq!(check(&|m| m.dims[1] = 1 << 32), None);
    assert_eq!(check(&|m| m.dims[1] = (1 << 32) + 1), Some(TmaError::Dimension((1 << 32) + 1)));
    assert_eq!(check(&|m| m.strides[0] = 24), Some(TmaError::Stride(24)));
    assert_eq!(check(&|m| m.strides[0] = 1 << 40), Some(TmaError::Stride(1 << 40)));
    assert_eq!(check(&|m| m.box_dims[1] = 257), Some(TmaError::Box(257)));
    assert_eq!(check(&|m| m.box_dims[1] = 0), Some(TmaError::Box(0)));
    assert_eq!(check(&|m| m.box_dims[0] = 144), Some(TmaError::InnerBytes(144)));
    assert_eq!(check(&|m| m.box_dims[0] = 120), Some(TmaError::InnerBytes(120)));
    assert_eq!(check(&|m| m.box_dims[0] = 64), Some(TmaError::NarrowRow(64)));
    assert_eq!(check_shared_address(0x480), Ok(()));
    assert_eq!(check_shared_address(0x490), Err(TmaError::SharedAddress(0x490)));
}
