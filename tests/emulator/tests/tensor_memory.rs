//! Loads and stores of tensor memory: every shape and count, both ways, and which faults are found.
//!
//! Where a register lies is `semantics::fragment::TmemShape` (PTX ISA 9.7.16.8; the shapes other than `32x32b` are
//! rebuilt from CUTLASS); here it is that instructions go there, in the quarter of their warp.

mod fixture;

use fixture::{TIMINGS, edited, upload};
use ptx_emulator::semantics::fragment::TmemShape;
use ptx_emulator::{Emulator, Launch, Options, Program, Report, ReportKind, Timing};
use std::fmt::Write as _;

/// One shape, repeated, from the first lane of a quarter or from its middle.
#[derive(Clone, Copy, Debug)]
struct Form {
    shape: TmemShape,
    count: u32,
    middle: u32,
}

impl Form {
    fn registers(self) -> u32 {
        self.shape.registers() * self.count
    }

    /// Columns that it touches, as a power of two.
    fn columns(self) -> u32 {
        let columns = match self.shape {
            TmemShape::B16x32x2 { split } => split + self.count,
            shape => shape.columns() * self.count,
        };
        columns.next_power_of_two()
    }

    /// `shape.xN.b32 `, and the immediate operand behind the address.
    fn text(self) -> (String, String) {
        let (name, split) = match self.shape {
            TmemShape::B32x32 => ("32x32b", String::new()),
            TmemShape::B16x64 => ("16x64b", String::new()),
            TmemShape::B16x128 => ("16x128b", String::new()),
            TmemShape::B16x256 => ("16x256b", String::new()),
            TmemShape::B16x32x2 { split } => ("16x32bx2", format!(", {split}")),
        };
        (format!("{name}.x{}.b32", self.count), split)
    }

    /// (lane, column) of a register of a thread.
    fn place(self, thread: u32, register: u32) -> (u32, u32) {
        let (lane, column) = self.shape.place(thread % 32, register);
        (thread / 32 * 32 + self.middle + lane, column)
    }

    /// A kernel that fills all columns, loads with this form, stores changed values with it, and reads all back.
    fn kernel(self) -> String {
        let (columns, registers) = (self.columns(), self.registers());
        let list = |count: u32| {
            let names: Vec<String> = (0..count).map(|i| format!("%v{i}")).collect();
            format!("{{{}}}", names.join(", "))
        };
        let (form, split) = self.text();
        let mut body = String::new();
        let chunk = columns.min(32);
        for first in (0..columns).step_by(chunk as usize) {
            for i in 0..chunk {
                let _ = writeln!(body, "add.u32 %v{i}, %r3, {};", first + i);
            }
            let all = list(chunk);
            let _ =
                writeln!(body, "tcgen05.st.sync.aligned.32x32b.x{chunk}.b32 [%r2+{first}], {all};");
        }
        body.push_str("tcgen05.wait::st.sync.aligned;  // filled\n");
        let all = list(registers);
        let middle = self.middle << 16;
        let _ = writeln!(body, "tcgen05.ld.sync.aligned.{form} {all}, [%r2+{middle}]{split};");
        body.push_str("tcgen05.wait::ld.sync.aligned;  // loaded\n");
        for i in 0..registers {
            let _ = writeln!(body, "st.global.b32 [%d0+{}], %v{i};", i * 512);
            let _ = writeln!(body, "xor.b32 %v{i}, %v{i}, 0x5A000000;");
        }
        let _ = writeln!(body, "tcgen05.st.sync.aligned.{form} [%r2+{middle}]{split}, {all};");
        body.push_str("tcgen05.wait::st.sync.aligned;  // stored\n");
        for first in (0..columns).step_by(chunk as usize) {
            let all = list(chunk);
            let _ =
                writeln!(body, "tcgen05.ld.sync.aligned.32x32b.x{chunk}.b32 {all}, [%r2+{first}];");
            body.push_str("tcgen05.wait::ld.sync.aligned;\n");
            for i in 0..chunk {
                let _ =
                    writeln!(body, "st.global.b32 [%d0+{}], %v{i};", (registers + first + i) * 512);
            }
        }
        format!("{HEAD}{body}{TAIL}")
    }
}

const HEAD: &str = ".version 8.8\n.target sm_100f\n.address_size 64\n\
    .visible .entry forms(.param .u64 out)\n.maxntid 128, 1, 1\n{\n\
    .reg .pred %p<2>; .reg .b32 %r<8>; .reg .b32 %v<128>; .reg .b64 %d<4>;\n\
    .shared .align 4 .b32 slot;\n\
    mov.u32 %r0, %tid.x; shr.u32 %r1, %r0, 5; setp.ne.u32 %p0, %r1, 0; mov.u32 %r4, slot;\n\
    @%p0 bra ALLOCATED;\n\
    tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r4], 512;\n\
    ALLOCATED: bar.sync 0;\n\
    ld.shared.b32 %r2, [%r4]; shl.b32 %r1, %r1, 21; add.u32 %r2, %r2, %r1;\n\
    ld.param.u64 %d0, [out]; mul.wide.u32 %d1, %r0, 4; add.s64 %d0, %d0, %d1;\n\
    shl.b32 %r3, %r0, 16;\n";
const TAIL: &str = "tcgen05.fence::before_thread_sync;\nbar.sync 0;\n@%p0 bra END;\n\
    ld.shared.b32 %r2, [%r4];\n\
    tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r2, 512;\nEND: ret;\n}\n";

fn run(text: &str, rows: u32, timing: Timing) -> (Vec<u32>, Vec<Report>) {
    let program = Program::parse(text).expect("the text is known");
    let mut emulator = Emulator::new(Options { timing, ..Options::default() });
    let bytes = rows as usize * 512;
    let out = upload(&mut emulator, &vec![0; bytes]);
    let launch = Launch {
        grid: [1; 3],
        block: [128, 1, 1],
        cluster: [1; 3],
        smem_bytes: 0,
        params: &out.to_le_bytes(),
    };
    let (reports, _) = emulator.launch(&program, "forms", &launch).expect("launch");
    let mut output = vec![0; bytes];
    emulator.memory.read(out, &mut output).expect("memory");
    let words = output.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    (words.collect(), reports)
}

fn forms() -> Vec<Form> {
    let shapes = [
        TmemShape::B32x32,
        TmemShape::B16x64,
        TmemShape::B16x128,
        TmemShape::B16x256,
        TmemShape::B16x32x2 { split: 1 },
    ];
    let of = |shape: TmemShape| {
        let middles: &[u32] = if shape == TmemShape::B32x32 { &[0] } else { &[0, 16] };
        let counts = (0..8).map(|power| 1 << power).filter(move |&count| shape.allows(count));
        let form = move |count, middle| match shape {
            // The second half begins where the first ends.
            TmemShape::B16x32x2 { .. } => {
                Form { shape: TmemShape::B16x32x2 { split: count }, count, middle }
            }
            shape => Form { shape, count, middle },
        };
        counts
            .flat_map(|count| middles.iter().map(move |&middle| form(count, middle)))
            .collect::<Vec<_>>()
    };
    shapes.into_iter().flat_map(of).collect()
}

#[test]
fn every_form_reaches_its_places() {
    for form in forms() {
        let (columns, registers) = (form.columns(), form.registers());
        let mut expected = vec![0; ((registers + columns) * 128) as usize];
        for column in 0..columns {
            for lane in 0..128 {
                expected[((registers + column) * 128 + lane) as usize] = lane << 16 | column;
            }
        }
        for thread in 0..128 {
            for register in 0..registers {
                let (lane, column) = form.place(thread, register);
                expected[(register * 128 + thread) as usize] = lane << 16 | column;
                expected[((registers + column) * 128 + lane) as usize] ^= 0x5A00_0000;
            }
        }
        for timing in [Timing::Early, Timing::Late, Timing::Random(1)] {
            let (output, reports) = run(&form.kernel(), registers + columns, timing);
            assert!(reports.is_empty(), "{form:?} {timing:?}: {}", reports[0]);
            assert!(output == expected, "{form:?} {timing:?}");
        }
    }
}

/// PTX ISA 9.7.16.6 and 9.7.16.8.
#[test]
fn faults() {
    use ReportKind::{ExitOutstanding, OutOfBounds, Race, Tcgen05, Uninitialised};
    let form = Form { shape: TmemShape::B32x32, count: 8, middle: 0 };
    let half = Form { shape: TmemShape::B16x256, count: 1, middle: 0 };
    let filled = "tcgen05.wait::st.sync.aligned;  // filled";
    let cases = [
        // A load may overtake a store of the same warp.
        (form, filled, String::new(), Race),
        (form, "tcgen05.wait::st.sync.aligned;  // stored", String::new(), Race),
        (form, "tcgen05.wait::ld.sync.aligned;  // loaded", String::new(), Tcgen05),
        (form, "shl.b32 %r1, %r1, 21;", "mov.b32 %r1, 0;".to_owned(), Tcgen05),
        (
            form,
            "[%r2+0], {%v0, %v1, %v2, %v3, %v4, %v5, %v6, %v7};\ntcgen05.wait::st.sync.aligned;  // filled",
            "[%r2+505], {%v0, %v1, %v2, %v3, %v4, %v5, %v6, %v7};".to_owned(),
            OutOfBounds,
        ),
        // The deallocation may overtake what is loaded by others.
        (form, "tcgen05.fence::before_thread_sync;", String::new(), Race),
        // Shapes of 16 lanes begin at the quarter or in its middle.
        (half, "xor.b32 %v3, %v3, 0x5A000000;", "add.u32 %r2, %r2, 524288;".to_owned(), Tcgen05),
        (
            half,
            "tcgen05.fence::before_thread_sync;",
            "tcgen05.fence::before_thread_sync;\ntcgen05.st.sync.aligned.32x32b.x1.b32 [%r2], %r0;"
                .to_owned(),
            ExitOutstanding,
        ),
    ];
    for (form, from, to, expected) in cases {
        let text = edited(&form.kernel(), &[(from, &to)]);
        for timing in TIMINGS {
            let (_, reports) = run(&text, form.registers() + form.columns(), timing);
            let kinds: Vec<_> = reports.iter().map(|report| report.kind).collect();
            assert!(kinds.contains(&expected), "{from}, {timing:?}: {kinds:?}, not {expected:?}");
        }
    }
    // Without the barrier, some see the address before it is there and some after.
    let text = edited(&form.kernel(), &[("ALLOCATED: bar.sync 0;", "ALLOCATED:")]);
    for timing in TIMINGS {
        assert!(!run(&text, 16, timing).1.is_empty(), "{timing:?}");
    }
    // Nothing was ever written there.
    let text = form.kernel();
    let (first, rest) = text.split_once(filled).expect("it is there");
    let (head, _) = first.split_once("shl.b32 %r3, %r0, 16;").expect("it is there");
    for timing in TIMINGS {
        let (_, reports) = run(&format!("{head}{rest}"), 16, timing);
        assert_eq!(reports[0].kind, Uninitialised, "{timing:?}");
    }
}
