//! Pictures of memory layouts (`docs/layouts`) and of the kernels' data flow (`docs/kernels`), drawn from the functions and
//! constants that the kernels use.

mod accumulator;
mod atoms;
mod blackwell;
mod blocks;
mod flow;
mod groups;
mod hopper;
mod quantiser;
mod swizzle;
mod tensor_memory;

/// Draws one picture.
type Draw = fn() -> String;

/// What a file of `docs` is called, and what draws it.
const DRAWINGS: [(&str, Draw); 13] = [
    ("layouts/swizzle_128b.svg", swizzle::draw),
    ("layouts/block_scales.svg", blocks::draw),
    ("layouts/scale_atom.svg", atoms::draw_atom),
    ("layouts/scale_matrix.svg", atoms::draw_matrix),
    ("layouts/wgmma_accumulator.svg", accumulator::draw),
    ("layouts/grouped_rows.svg", groups::draw),
    ("layouts/tensor_memory.svg", tensor_memory::draw_columns),
    ("layouts/tensor_memory_scales.svg", tensor_memory::draw_scales),
    ("kernels/fp8_block_sm90.svg", hopper::draw_fp8),
    ("kernels/mxfp8_gemm_sm90.svg", hopper::draw_mxfp8),
    ("kernels/mxfp8_quant.svg", quantiser::draw),
    ("kernels/mxfp8_gemm_sm100.svg", blackwell::draw_one),
    ("kernels/mxfp8_gemm_sm100_pair.svg", blackwell::draw_pair),
];

/// Draws every picture: its path in `docs`, and its text.
pub fn draw() -> Vec<(&'static str, String)> {
    DRAWINGS.iter().map(|(file, draw)| (*file, draw())).collect()
}

/// A number with commas between thousands.
fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn committed_drawings_are_those_of_the_code() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for (file, drawn) in draw() {
            let committed = std::fs::read_to_string(docs.join(file)).unwrap_or_default();
            assert!(committed == drawn, "docs/{file} is stale: run `cargo xtask plot`");
        }
    }

    #[test]
    fn every_drawing_has_a_title() {
        for (file, drawn) in draw() {
            assert!(drawn.contains("role=\"img\"") && drawn.contains("<title>"), "{file}");
        }
    }

    #[test]
    fn thousands_are_parted() {
        assert_eq!([7, 123, 1234, 223_584].map(thousands), ["7", "123", "1,234", "223,584"]);
    }
}
