//! Results of GPUs against the pure functions alone, without a machine around them.

use expert_gemm::driver;
use expert_gemm_tests::gpu::say;
use expert_gemm_tests::wgmma_model::bf16;
use ptx_emulator::capture::{Case, Collection, Corpus, Record, wgmma_half};
use ptx_emulator::semantics::alu::float;
use ptx_emulator::semantics::swizzle::Swizzle;
use ptx_emulator::semantics::tensor::{WGMMA_BF16, WGMMA_F16, wgmma_e4m3};
use ptx_emulator::semantics::tma::TileMap;
use ptx_emulator::semantics::{convert, fragment, matrix};
use std::path::Path;

/// What every region holds before a copy.
const FILLED: u8 = 0xA5;

/// Compares the records of the programs that begin with `symbol` with what `model` says, for each GPU.
fn check(collection: &str, symbol: &str, model: impl Fn(&Case) -> Vec<u8>) {
    let collection = Collection::named(collection).expect("a collection");
    assert!(!collection.files.is_empty(), "{} was captured", collection.name);
    for file in collection.files {
        check_file(&collection, file, symbol, &model);
    }
}

fn check_file(collection: &Collection, file: &str, symbol: &str, model: impl Fn(&Case) -> Vec<u8>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(file);
    let file = std::fs::read(path).expect("every file of a collection");
    let corpus = Corpus::read(&file[..]).expect("whole");
    let cases = (collection.cases)();
    let mut tiles = 0;
    for case in cases.iter().filter(|case| case.symbol.starts_with(symbol)) {
        let of_case = |record: &&Record| record.name == case.name;
        let Some(record) = corpus.records.iter().find(of_case) else { continue };
        assert_eq!(record.fingerprint, case.fingerprint(), "{}: capture again", case.name);
        let modelled = model(case);
        assert_eq!(modelled.len(), record.output.len(), "{}", case.name);
        let first = modelled.iter().zip(&record.output).position(|(a, b)| a != b);
        assert_eq!(first, None, "{}: first byte that differs", case.name);
        tiles += record.tiles;
    }
    let device = corpus.device;
    say(&format!("{symbol}: {tiles} tiles of {device} equal the pure functions in every bit"));
    assert!(tiles > 0);
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let words = bytes.chunks_exact(4);
    words.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    words(bytes).into_iter().map(f32::from_bits).collect()
}

#[test]
fn tensor_core() {
    check("base", "wgmma", |case| {
        let n = case.output_bytes / (case.tiles as usize * 64 * 4);
        let steps = if case.symbol.ends_with("s4") { 4 } else { 1 };
        let mut output = Vec::new();
        for tile in 0..case.tiles as usize {
            let first = if steps == 4 { 0 } else { (case.words[1] as usize + tile) / 4 % 4 };
            let mut d = vec![0f32; 64 * n];
            for step in 0..steps {
                let slice = |codes: &[u8], rows: usize| -> Vec<u8> {
                    let tile = &codes[tile * rows * 128..][..rows * 128];
                    let row = |row: &[u8]| row[(first + step) * 32..][..32].to_vec();
                    tile.chunks(128).flat_map(row).collect()
                };
                let (a, b) = (slice(&case.inputs[0], 64), slice(&case.inputs[1], n));
                wgmma_e4m3(&mut d, n, &a, &b, step > 0);
            }
            for register in 0..n as u32 / 2 {
                for thread in 0..128 {
                    let (row, column) = fragment::wgmma_d(thread, register);
                    let value = d[row as usize * n + column as usize];
                    output.extend(value.to_bits().to_le_bytes());
                }
            }
        }
        output
    });
}

/// A type that no GPU was asked about yet has no files; one that was has to follow its rule.
#[test]
fn tensor_core_with_16_bits() {
    for (name, rule) in [("bf16", WGMMA_BF16), ("f16", WGMMA_F16)] {
        if Collection::named(name).is_some_and(|collection| !collection.files.is_empty()) {
            check(name, "wgmma", |case| wgmma_half::output(case, |acc, a, b| rule.dot(acc, a, b)));
        }
    }
    // And the test kit's, which was written apart.
    check("bf16", "wgmma_bf16", |case| {
        wgmma_half::output(case, |acc, a, b| {
            let step = |numbers: &[u16]| numbers.try_into().expect("one step");
            bf16::scalar::step(&step(a), &step(b), acc)
        })
    });
}

#[test]
fn conversions_and_products() {
    check("base", "narrow", |case| {
        let pairs = floats(&case.inputs[0]);
        let narrow = |pair: &[f32]| {
            [convert::bf16x2_from_f32(pair[1], pair[0]), convert::f16x2_from_f32(pair[1], pair[0])]
        };
        pairs.chunks(2).flat_map(narrow).flat_map(u32::to_le_bytes).collect()
    });
    check("base", "e4m3", |case| {
        let pairs = floats(&case.inputs[0]);
        let codes = |pair: &[f32]| {
            let codes = convert::e4m3x2_from_f32(pair[1], pair[0]);
            [u32::from(codes), convert::f16x2_from_e4m3x2(codes)]
        };
        pairs.chunks(2).flat_map(codes).flat_map(u32::to_le_bytes).collect()
    });
    check("base", "arithmetic", |case| {
        let numbers = floats(&case.inputs[0]);
        let results = |x: &[f32]| [float::mul(x[0], x[1]), float::fma(x[0], x[1], x[2])];
        let bits = numbers.chunks(4).flat_map(results).map(f32::to_bits);
        bits.flat_map(u32::to_le_bytes).collect()
    });
}

/// The shared memory of a tile as 16-bit elements, and the addresses of its rows.
fn tiles(case: &Case, bytes: usize) -> Vec<(Vec<u8>, Vec<u32>)> {
    let rows = words(&case.inputs[1]);
    let contents = case.inputs[0].chunks(bytes).map(<[u8]>::to_vec);
    contents.zip(rows.chunks(32).map(<[u32]>::to_vec)).collect()
}

#[test]
fn matrices() {
    check("base", "ldmatrix", |case| {
        let matrices = case.output_bytes as u32 / (case.tiles * 128);
        let transposed = case.symbol.ends_with("trans");
        let mut output = Vec::new();
        for (memory, rows) in tiles(case, 2048) {
            for register in 0..matrices {
                for lane in 0..32 {
                    for half in 0..2 {
                        let (row, column) = matrix::element(lane, half, transposed);
                        let address = rows[matrix::address_lane(register, row) as usize];
                        let at = (address + column * 2) as usize;
                        output.extend(&memory[at..at + 2]);
                    }
                }
            }
        }
        output
    });
    check("base", "stmatrix", |case| {
        let matrices = case.inputs[0].len() as u32 / (case.tiles * 128);
        let transposed = case.symbol.ends_with("trans");
        let mut output = Vec::new();
        for (registers, rows) in tiles(case, 128 * matrices as usize) {
            let mut memory = vec![FILLED; 2048];
            for register in 0..matrices {
                for lane in 0..32 {
                    for half in 0..2 {
                        let (row, column) = matrix::element(lane, half, transposed);
                        let address = rows[matrix::address_lane(register, row) as usize];
                        let at = (address + column * 2) as usize;
                        let from = ((register * 32 + lane) * 4 + half * 2) as usize;
                        memory[at..at + 2].copy_from_slice(&registers[from..from + 2]);
                    }
                }
            }
            output.extend(memory);
        }
        output
    });
}

fn tile_map(case: &Case) -> TileMap {
    let spec = &case.maps[0].spec;
    let rank = spec.dims.rank();
    let swizzle = match spec.swizzle {
        driver::Swizzle::None => Swizzle::None,
        driver::Swizzle::Bytes32 => Swizzle::B32,
        driver::Swizzle::Bytes64 => Swizzle::B64,
        driver::Swizzle::Bytes128 => Swizzle::B128,
    };
    TileMap {
        rank,
        dims: std::array::from_fn(|i| spec.dims.get(i)),
        strides: std::array::from_fn(|i| spec.strides_bytes.get(i)),
        box_dims: std::array::from_fn(|i| spec.box_dims.get(i) as u32),
        element_bytes: spec.element.bytes() as u32,
        swizzle,
    }
}

/// A region with the box copied to it, or without for a CTA that the mask leaves out.
fn region(case: &Case, start: &[u32], offset: u32, copied: bool) -> Vec<u8> {
    let map = tile_map(case);
    let mut region = vec![FILLED; case.words[1] as usize];
    let start: Vec<i32> = start[..map.rank].iter().map(|&x| x as i32).collect();
    if copied {
        for row in map.rows(&start).expect("coordinates of the rank") {
            for (to, from, bytes) in row.pieces(offset, map.swizzle) {
                let to = &mut region[to as usize..][..bytes as usize];
                match from {
                    Some(from) => {
                        to.copy_from_slice(&case.inputs[1][from as usize..][..bytes as usize]);
                    }
                    None => to.fill(0),
                }
            }
        }
    }
    region
}

#[test]
fn tensor_copies() {
    for symbol in ["tma_2d", "tma_3d"] {
        check("base", symbol, |case| {
            let table = words(&case.inputs[0]);
            table.chunks(4).flat_map(|line| region(case, &line[..3], line[3], true)).collect()
        });
    }
    check("base", "tma_multicast", |case| {
        let table = words(&case.inputs[0]);
        let clusters = table.chunks(4).flat_map(|line| {
            (0..2).map(move |rank| region(case, &line[..2], line[2], line[3] >> rank & 1 == 1))
        });
        clusters.flatten().collect()
    });
}
