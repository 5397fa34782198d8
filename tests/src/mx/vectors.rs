//! The published table of special blocks, `tests/vectors/mxfp8_blocks.json`: worked out by hand from the contract, not
//! by a program.

use super::{Block, Quantised};
use expert_gemm_kernels::abi::{ElementType, ScaleRule};
use serde::Deserialize;

/// A block, and what each of [`ScaleRule::ALL`] makes of it.
#[derive(Clone, Debug)]
pub struct Vector {
    /// What is special about it.
    pub name: String,
    /// Type of the elements.
    pub input: ElementType,
    /// The elements' bits.
    pub elements: Block,
    /// Scale and codes by each rule.
    pub wanted: [Quantised; 3],
}

#[derive(Deserialize)]
struct File {
    blocks: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    name: String,
    input: String,
    elements: String,
    sgl: Want,
    strict: Option<Want>,
    ocp_floor: Option<Want>,
}

#[derive(Deserialize)]
struct Want {
    scale: u8,
    codes: String,
}

/// All vectors.
///
/// # Panics
/// If the file breaks its own rules.
pub fn all() -> Vec<Vector> {
    let file: File = serde_json::from_str(include_str!("../../vectors/mxfp8_blocks.json"))
        .expect("the file follows the structures above");
    file.blocks.into_iter().map(Entry::vector).collect()
}

impl Entry {
    fn vector(self) -> Vector {
        let input = match &*self.input {
            "bf16" => ElementType::Bf16,
            "f16" => ElementType::F16,
            other => panic!("{other} is not an element type of inputs"),
        };
        let quantised = |want: &Want| Quantised {
            scale: want.scale,
            codes: words(&want.codes).map(|code| u8::try_from(code).expect("a code is a byte")),
        };
        let wanted = ScaleRule::ALL.map(|rule| {
            let own = match rule {
                ScaleRule::Sgl => None,
                ScaleRule::Strict => self.strict.as_ref(),
                ScaleRule::OcpFloor => self.ocp_floor.as_ref(),
            };
            quantised(own.unwrap_or(&self.sgl))
        });
        Vector { elements: words(&self.elements), name: self.name, input, wanted }
    }
}

/// `0000*30 3F80 BF80`: hexadecimal words, each as often as the star says.
fn words(text: &str) -> [u16; super::VECTOR] {
    let words: Vec<u16> = text
        .split_ascii_whitespace()
        .flat_map(|part| {
            let (word, times) = part.split_once('*').unwrap_or((part, "1"));
            let word = u16::from_str_radix(word, 16).expect("a hexadecimal word");
            core::iter::repeat_n(word, times.parse().expect("a count"))
        })
        .collect();
    words.try_into().unwrap_or_else(|words: Vec<u16>| panic!("{} words in {text}", words.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_vectors_of_its_own_in_both_types() {
        let all = all();
        for input in [ElementType::Bf16, ElementType::F16] {
            let of_type = || all.iter().filter(|vector| vector.input == input);
            assert!(of_type().any(|v| v.wanted[0] != v.wanted[1]), "strict {}", input.name());
            assert!(of_type().any(|v| v.wanted[1] != v.wanted[2]), "floor {}", input.name());
            assert!(of_type().count() >= 9);
        }
    }
}
