//! Bulk copies out of shared memory: what they write, and which faults are found.
//!
//! Sources: PTX ISA 9.7.9.25 for the groups and the alignments; the swizzles are functions of the address, as
//! measured on an H200 for loads. That parts beyond the far edges are not written, public kernels rely on.

mod fixture;

use fixture::{TIMINGS, edited, upload};
use ptx_emulator::semantics::swizzle::Swizzle;
use ptx_emulator::tensor_map::TensorMap;
use ptx_emulator::{Emulator, Launch, Options, Program, Report, ReportKind};

const TEXT: &str = include_str!("../fixtures/bulk_stores.ptx");
/// What the threads write to shared memory.
const BYTES: usize = 8192;

/// Runs a kernel on an output of these bytes, all 0xEE before.
struct Run {
    text: String,
    entry: &'static str,
    map: TensorMap,
    start: [i32; 3],
    out: usize,
}

impl Run {
    fn new(entry: &'static str, dims: &[u64], boxes: &[u64], swizzle: Swizzle) -> Self {
        let strides: Vec<u64> = dims[..dims.len() - 1]
            .iter()
            .scan(1, |bytes, dim| {
                *bytes *= dim;
                Some(*bytes)
            })
            .collect();
        let out = dims.iter().product::<u64>() as usize;
        let (dims, box_dims) = (dims.to_vec(), boxes.to_vec());
        let map =
            TensorMap { element: 1, address: 0, dims, strides, box_dims, swizzle, fill_nan: false };
        Self { text: TEXT.to_owned(), entry, map, start: [0; 3], out }
    }

    fn at(mut self, start: [i32; 3]) -> Self {
        self.start = start;
        self
    }

    fn edit(mut self, edits: &[(&str, &str)]) -> Self {
        self.text = edited(TEXT, edits);
        self
    }

    fn run(&self, timing: ptx_emulator::Timing) -> (Vec<u8>, Vec<Report>) {
        let program = Program::parse(&self.text).expect("the text is known");
        let mut emulator = Emulator::new(Options { timing, ..Options::default() });
        let out = upload(&mut emulator, &vec![0xEE; self.out]);
        let mut params = TensorMap { address: out, ..self.map.clone() }.encode().to_vec();
        params.extend(out.to_le_bytes());
        params.extend(self.start.iter().flat_map(|x| x.to_le_bytes()));
        let launch = Launch {
            grid: [1; 3],
            block: [128, 1, 1],
            cluster: [1; 3],
            smem_bytes: 16_384,
            params: &params,
        };
        let (reports, _) = emulator.launch(&program, self.entry, &launch).expect("launch");
        let mut output = vec![0; self.out];
        emulator.memory.read(out, &mut output).expect("memory");
        (output, reports)
    }

    /// The output, equal under every timing and without a report.
    fn clean(&self) -> Vec<u8> {
        let runs = TIMINGS.map(|timing| {
            let (output, reports) = self.run(timing);
            assert!(reports.is_empty(), "{} {timing:?}: {}", self.entry, reports[0]);
            output
        });
        assert!(runs.iter().all(|run| *run == runs[0]));
        runs[0].clone()
    }

    /// Every timing reports this kind first.
    fn found(&self, kind: ReportKind) {
        for timing in TIMINGS {
            let (_, reports) = self.run(timing);
            let kinds: Vec<_> = reports.iter().map(|report| report.kind).collect();
            assert!(kinds.contains(&kind), "{} {timing:?}: {kinds:?}, not {kind:?}", self.entry);
        }
    }
}

/// A byte of shared memory, by offset: what the threads write.
fn byte(offset: usize) -> u8 {
    let word = (offset as u32 / 4).wrapping_mul(0x9E37_79B1);
    word.to_le_bytes()[offset % 4]
}

#[test]
fn flat_copies() {
    let out = Run::new("flat", &[BYTES as u64 + 32], &[16], Swizzle::None).clean();
    assert!(out[..16].iter().chain(&out[BYTES + 16..]).all(|&x| x == 0xEE));
    assert!((0..BYTES).all(|i| out[16 + i] == byte(i)));
}

/// Every swizzle; starts inside, and boxes that reach beyond the far edges.
#[test]
fn tiles_are_written_where_the_tensor_is() {
    let modes = [(Swizzle::None, 64), (Swizzle::B32, 32), (Swizzle::B64, 64), (Swizzle::B128, 128)];
    for (swizzle, width) in modes {
        let rows = BYTES as u64 / 128;
        for start in [[0, 0, 0], [16, 3, 0], [112, 50, 0], [160, 99, 0], [400, 0, 0]] {
            let run = Run::new("tile2", &[192, 100], &[width, rows], swizzle).at(start);
            let out = run.clean();
            let mut expected = vec![0xEE; run.out];
            for row in 0..rows as usize {
                for column in 0..width as usize {
                    let (y, x) = (start[1] as usize + row, start[0] as usize + column);
                    if y < 100 && x < 192 {
                        // Shared memory begins at a multiple of every pattern.
                        let at = swizzle.apply((row * width as usize + column) as u32);
                        expected[y * 192 + x] = byte(at as usize);
                    }
                }
            }
            assert_eq!(out, expected, "{swizzle:?} {start:?}");
        }
    }
}

#[test]
fn three_dimensions() {
    let run = Run::new("tile3", &[64, 10, 5], &[64, 8, 4], Swizzle::None).at([0, 4, 2]);
    let out = run.clean();
    for (i, value) in out.iter().enumerate() {
        let (x, y, z) = (i % 64, i / 64 % 10, i / 640);
        let inside = y >= 4 && z >= 2;
        let expected = if inside { byte(((z - 2) * 8 + y - 4) * 64 + x) } else { 0xEE };
        assert_eq!(*value, expected, "({x}, {y}, {z})");
    }
}

#[test]
fn faults() {
    use ReportKind::{ExitOutstanding, OutOfBounds, ProxyFence, Race, TensorMap};
    let tile = || Run::new("tile2", &[128, 64], &[128, 64], Swizzle::B128);
    tile().clean();
    tile().edit(&[("fence.proxy.async.shared::cta;", "")]).found(ProxyFence);
    // Shared memory is written again behind this wait.
    tile().edit(&[("cp.async.bulk.wait_group.read 0;  // tile2", "")]).found(Race);
    tile()
        .edit(&[("cp.async.bulk.wait_group.read 0;  // tile2", "cp.async.bulk.wait_group.read 1;")])
        .found(Race);
    tile().edit(&[("cp.async.bulk.commit_group;  // tile2", "")]).found(Race);
    // The output is read behind this one.
    let flat = || Run::new("flat", &[BYTES as u64 + 32], &[16], Swizzle::None);
    let wait = "cp.async.bulk.wait_group 0;  // flat";
    flat().edit(&[(wait, "cp.async.bulk.wait_group.read 0;")]).found(Race);
    flat().edit(&[(wait, "")]).found(ExitOutstanding);
    let mut short = flat();
    short.out -= 32;
    short.found(OutOfBounds);
    tile().at([-16, 0, 0]).found(TensorMap);
}
