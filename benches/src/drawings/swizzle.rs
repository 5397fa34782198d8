//! Operands in shared memory: the 128-byte swizzle.

use crate::canvas::{Anchor, Canvas, Point};

const CHUNK: Point = (42.0, 24.0);
const ROWS: u32 = 8;
const CHUNKS: u32 = 8;
const TOP: f64 = 118.0;
/// Bytes of a chunk.
const CHUNK_BYTES: u32 = 16;
/// Chunks of a step of 32 elements of K.
const STEP: u32 = 2;

/// Which chunk of a row lies at chunk `place` of the same row in shared memory.
fn chunk_at(row: u32, place: u32) -> u32 {
    place ^ (row % ROWS)
}

pub(super) fn draw() -> String {
    let width = CHUNKS as f64 * CHUNK.0;
    let (left, right) = (70.0, 70.0 + width + 110.0);
    let mut canvas = Canvas::drawing(
        (right + width + 30.0, TOP + ROWS as f64 * CHUNK.1 + 92.0),
        "A K block of a and b: row-major in memory, swizzled in shared memory",
        "128 elements (128 bytes) of 8 rows. Numbers are chunks of 16 bytes of a row; the frame is the second step of K, elements 32 to 63.",
    );
    panel(&mut canvas, left, "global memory, row-major; rows are K bytes apart", |_, place| place);
    panel(&mut canvas, right, "shared memory, from a multiple of 1,024", chunk_at);
    for row in 0..ROWS {
        let y = TOP + (row as f64 + 0.65) * CHUNK.1;
        canvas.text((left - 10.0, y), Anchor::End, "note", &format!("row {row}"));
        canvas.text((right - 10.0, y), Anchor::End, "note", &format!("byte {}", row * 128));
    }
    let bottom = TOP + ROWS as f64 * CHUNK.1;
    let lines = [
        "byte (r, k) lies at 128 r + 16 ((k / 16) xor (r mod 8)) + k mod 16. The copy engine writes it so, wgmma and tcgen05.mma read it so:",
        "eight rows of one chunk lie in eight different groups of banks. Rows 8 to 15 follow as the next 1,024 bytes, the stride that descriptors name;",
        "the next step of 32 elements is the start of the descriptor plus 2 units of 16 bytes, as the exclusive or works on the address.",
    ];
    for (i, line) in lines.iter().enumerate() {
        canvas.text((20.0, bottom + 32.0 + i as f64 * 18.0), Anchor::Start, "note", line);
    }
    canvas.finish()
}

fn panel(canvas: &mut Canvas, left: f64, head: &str, chunk_at: impl Fn(u32, u32) -> u32) {
    canvas.text((left, TOP - 34.0), Anchor::Start, "head", head);
    for place in 0..CHUNKS {
        let x = left + (place as f64 + 0.5) * CHUNK.0;
        canvas.text((x, TOP - 8.0), Anchor::Middle, "note", &format!("+{}", place * CHUNK_BYTES));
    }
    let corner = |row: u32, place: u32| (left + place as f64 * CHUNK.0, TOP + row as f64 * CHUNK.1);
    for row in 0..ROWS {
        for place in 0..CHUNKS {
            let chunk = chunk_at(row, place);
            canvas.labelled(
                corner(row, place),
                CHUNK,
                &format!("cell k{chunk}"),
                &chunk.to_string(),
            );
        }
    }
    // Frames last, so that no neighbour covers them.
    for row in 0..ROWS {
        for place in (0..CHUNKS).filter(|&place| chunk_at(row, place) / STEP == 1) {
            canvas.cell(corner(row, place), CHUNK, "frame");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptx_emulator::semantics::swizzle::Swizzle;

    #[test]
    fn the_picture_is_the_swizzle_that_was_compared_with_hardware() {
        for row in 0..64 {
            for place in 0..CHUNKS {
                let unswizzled = row * 128 + chunk_at(row, place) * CHUNK_BYTES;
                assert_eq!(Swizzle::B128.apply(unswizzled), row * 128 + place * CHUNK_BYTES);
            }
        }
    }
}
