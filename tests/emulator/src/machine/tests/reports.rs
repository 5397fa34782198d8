//! What a run tells beside its result: the timeline, and the text of the lines in reports.

use super::{COPY, HEAD, INIT, READ, REGISTERS, WAIT, run_with};
use crate::machine::{Emulator, Launch, Program};
use crate::options::{Options, Timing};

#[test]
fn the_timeline_is_recorded_on_request() {
    let text = format!(
        "{HEAD}.visible .entry k(.param .u64 out)\n{{\n{REGISTERS}{INIT}{COPY}{WAIT}{READ}\nret;\n}}\n"
    );
    let program = Program::parse(&text).expect("the text is known");
    for timeline in [false, true] {
        let options = Options { timing: Timing::Late, timeline, ..Options::default() };
        let mut emulator = Emulator::new(options);
        let out = emulator.memory.alloc(4096);
        emulator.memory.write(out, &[1; 4096]).expect("memory");
        let launch = Launch {
            grid: [1; 3],
            block: [64, 1, 1],
            cluster: [1; 3],
            smem_bytes: 32_768,
            params: &out.to_le_bytes(),
        };
        let (reports, stats) = emulator.launch(&program, "k", &launch).expect("launch");
        assert!(reports.is_empty(), "{}", reports[0]);
        let said = |what: &str| stats.timeline.iter().filter(|line| line.contains(what)).count();
        assert_eq!(stats.timeline.is_empty(), !timeline);
        // Late: both warps sleep until the copy is forced to happen.
        let counts = [
            "initialised for 1",
            "expects 256",
            "brings 256",
            "PHASE 0 ENDS",
            "begins to",
            "has waited",
        ];
        let wanted = if timeline { [1, 1, 1, 1, 2, 2] } else { [0; 6] };
        assert_eq!(counts.map(said), wanted, "{:#?}", stats.timeline);
    }
}

#[test]
fn reports_show_the_lines_that_they_name() {
    let body = "st.shared.u32 [%r4], %r1;\nxor.b32 %r5, %r4, 4;\nld.shared.u32 \t%r6, [%r5];";
    let (_, reports) = run_with(Timing::Early, 32, 1, body);
    let text = reports[0].to_string();
    assert!(text.starts_with("Race in k, PTX line "), "{text}");
    assert!(text.contains(": ld.shared.u32 %r6, [%r5];"), "{text}");
    assert!(text.contains(": st.shared.u32 [%r4], %r1;"), "{text}");
    assert_eq!(text.lines().count(), 1 + reports[0].lines.len());
}
