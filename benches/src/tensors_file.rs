//! A user's own tensors: safetensors in and out.
//!
//! | name | element type | shape |
//! | --- | --- | --- |
//! | `a` | `F8_E4M3` | `[T, K]` |
//! | `b` | `F8_E4M3` | `[E, N, K]` |
//! | `scales_a` | `F32` | `[T, K / 128]` |
//! | `scales_b` | `F32` | `[E, N / 128, K / 128]` |
//! | `problem_sizes` | `I32` | `[E, 3]` |
//! | `expert_offsets` | `I32` | `[E]`, or `[E + 1]` with the total at the end |
//!
//! The output file holds `output`, `BF16` or `F16`, `[T, N]`; rows that no expert owns hold NaN (`0xFFFF`).

use anyhow::{Context as _, Result, bail, ensure};
use expert_gemm::ElementType;
use expert_gemm_tests::problem::{HostProblem, Spec};
use expert_gemm_tests::routing::Routing;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::Path;

/// Reads a problem.
///
/// # Errors
/// If the file cannot be read, or a tensor is missing or breaks the table above.
pub fn load(path: &Path, output: ElementType) -> Result<HostProblem> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{} is no safetensors file", path.display()))?;
    let a = tensor(&file, "a", Dtype::F8_E4M3, 2)?;
    let b = tensor(&file, "b", Dtype::F8_E4M3, 3)?;
    let (&[rows, k], &[experts, n, b_k]) = (a.shape(), b.shape()) else {
        bail!("`a` must be [T, K] and `b` [E, N, K]");
    };
    ensure!(b_k == k, "`a` has K = {k}, but `b` has K = {b_k}");
    ensure!(
        n > 0 && k > 0 && n.is_multiple_of(128) && k.is_multiple_of(128),
        "N = {n} and K = {k} must be multiples of 128: pad the tensors with zeros"
    );
    let scales_a = tensor(&file, "scales_a", Dtype::F32, 2)?;
    expect_shape(&scales_a, "scales_a", &[rows, k / 128])?;
    let scales_b = tensor(&file, "scales_b", Dtype::F32, 3)?;
    expect_shape(&scales_b, "scales_b", &[experts, n / 128, k / 128])?;
    let sizes = tensor(&file, "problem_sizes", Dtype::I32, 2)?;
    expect_shape(&sizes, "problem_sizes", &[experts, 3])?;
    let offsets = tensor(&file, "expert_offsets", Dtype::I32, 1)?;
    if offsets.shape() != [experts + 1] {
        expect_shape(&offsets, "expert_offsets", &[experts])?;
    }
    let routing = routing(
        &words(sizes.data(), i32::from_le_bytes),
        &words(offsets.data(), i32::from_le_bytes),
        [rows, n, k],
    )?;
    Ok(HostProblem {
        spec: Spec { experts, n, k, output, total_rows: routing.owned_rows(), ..Spec::PLAIN },
        routing,
        a: a.data().to_vec(),
        b: b.data().to_vec(),
        scales_a: words(scales_a.data(), f32::from_le_bytes),
        scales_b: words(scales_b.data(), f32::from_le_bytes),
    })
}

/// Writes an output.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, problem: &HostProblem, output: &[u16]) -> Result<()> {
    let bytes: Vec<u8> = output.iter().copied().flat_map(u16::to_le_bytes).collect();
    let dtype = if problem.spec.output == ElementType::F16 { Dtype::F16 } else { Dtype::BF16 };
    let view = TensorView::new(dtype, vec![problem.rows(), problem.spec.n], &bytes)?;
    safetensors::serialize_to_file([("output", view)], None, path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The groups, if every one of them lies inside the packed rows and none overlaps another.
fn routing(sizes: &[i32], offsets: &[i32], [rows, n, k]: [usize; 3]) -> Result<Routing> {
    let mut routing =
        Routing { rows_per_expert: Vec::new(), first_row: Vec::new(), rows: u32::try_from(rows)? };
    let mut owned = vec![false; rows];
    for (expert, (size, &offset)) in sizes.as_chunks::<3>().0.iter().zip(offsets).enumerate() {
        let (m, offset) = if size[0] == 0 { (0, 0) } else { (size[0], offset) };
        ensure!(
            m == 0 || (size[1] as usize, size[2] as usize) == (n, k),
            "expert {expert} has (N, K) = ({}, {}), but the tensors have ({n}, {k})",
            size[1],
            size[2]
        );
        let outside = || format!("expert {expert} has {m} rows from {offset}, of {rows} rows");
        let first = usize::try_from(offset).with_context(outside)?;
        let end = first + usize::try_from(m).with_context(outside)?;
        for owned in owned.get_mut(first..end).with_context(outside)? {
            ensure!(!*owned, "expert {expert} shares rows with another one");
            *owned = true;
        }
        routing.rows_per_expert.push(m as u32);
        routing.first_row.push(first as u32);
    }
    Ok(routing)
}

fn tensor<'data>(
    file: &SafeTensors<'data>,
    name: &str,
    dtype: Dtype,
    rank: usize,
) -> Result<TensorView<'data>> {
    let tensor = file.tensor(name).with_context(|| format!("the file has no tensor `{name}`"))?;
    let (given, shape) = (tensor.dtype(), tensor.shape());
    ensure!(given == dtype, "`{name}` holds {given:?}, but {dtype:?} is needed");
    ensure!(
        shape.len() == rank,
        "`{name}` has the shape {shape:?}, but {rank} dimensions are needed"
    );
    Ok(tensor)
}

fn expect_shape(tensor: &TensorView, name: &str, shape: &[usize]) -> Result<()> {
    let given = tensor.shape();
    ensure!(given == shape, "`{name}` has the shape {given:?}, but {shape:?} is needed");
    Ok(())
}

fn words<T>(bytes: &[u8], from: fn([u8; 4]) -> T) -> Vec<T> {
    bytes.as_chunks::<4>().0.iter().copied().map(from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expert_gemm_tests::routing::Layout;

    fn write(path: &Path, problem: &HostProblem, offset: i32) {
        let Spec { experts, n, k, .. } = problem.spec;
        let mut tables = problem.tables();
        tables.offsets[0] += offset;
        let floats = |x: &[f32]| x.iter().copied().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
        let ints = |x: &[i32]| x.iter().copied().flat_map(i32::to_le_bytes).collect::<Vec<u8>>();
        let (sa, sb) = (floats(&problem.scales_a), floats(&problem.scales_b));
        let (sizes, offsets) = (ints(&tables.problem_sizes()), ints(&tables.offsets));
        let t = problem.rows();
        let view =
            |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data).unwrap();
        let tensors = [
            ("a", view(Dtype::F8_E4M3, &[t, k], &problem.a)),
            ("b", view(Dtype::F8_E4M3, &[experts, n, k], &problem.b)),
            ("scales_a", view(Dtype::F32, &[t, k / 128], &sa)),
            ("scales_b", view(Dtype::F32, &[experts, n / 128, k / 128], &sb)),
            ("problem_sizes", view(Dtype::I32, &[experts, 3], &sizes)),
            ("expert_offsets", view(Dtype::I32, &[experts], &offsets)),
        ];
        safetensors::serialize_to_file(tensors, None, path).unwrap();
    }

    #[test]
    fn a_problem_survives_the_file_and_bad_tables_are_refused() {
        let problem = Spec { total_rows: 20, layout: Layout::Gaps, ..Spec::PLAIN }.build();
        let path =
            std::env::temp_dir().join(format!("expert-gemm-{}.safetensors", std::process::id()));
        write(&path, &problem, 0);
        let loaded = load(&path, ElementType::F16).unwrap();
        assert_eq!(
            (&loaded.a, &loaded.b, &loaded.routing),
            (&problem.a, &problem.b, &problem.routing)
        );
        assert_eq!(loaded.scales_b, problem.scales_b);
        for (offset, word) in [(-100, "expert 0 has"), (1000, "expert 0 has"), (10, "shares rows")]
        {
            write(&path, &problem, offset);
            let error = format!("{:#}", load(&path, ElementType::F16).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
        save(&path, &problem, &vec![7; problem.rows() * problem.spec.n]).unwrap();
        let error = load(&path, ElementType::Bf16).unwrap_err().to_string();
        assert_eq!(error, "the file has no tensor `a`");
        std::fs::remove_file(&path).unwrap();
    }
}
