//! Which experts a token goes to, and the way to packed rows and back.

use crate::layer::groups::Groups;
use half::bf16;

pub struct Routing {
    experts: usize,
    /// The experts of each token with their weights, which sum to one.
    pub chosen: Vec<Vec<(usize, f64)>>,
    /// The token of each packed row, and which of its choices the row is.
    rows: Vec<(usize, usize)>,
}

impl Routing {
    /// A softmax over the scores of all experts, of which the `top_k` largest are kept and made to sum to one. (DeepSeek-V3
    /// itself uses sigmoids, biases and groups of experts; the layer after the router is the same.)
    pub fn softmax_top_k(
        x: &[bf16],
        gate: &[bf16],
        hidden: usize,
        top_k: usize,
    ) -> Result<Self, String> {
        let experts = gate.len() / hidden;
        if top_k > experts {
            return Err(format!("a token cannot go to {top_k} of {experts} experts"));
        }
        let chosen: Vec<Vec<(usize, f64)>> =
            x.chunks(hidden).map(|x| choices(x, gate, hidden, top_k)).collect();
        let mut rows: Vec<(usize, usize)> = (0..chosen.len())
            .flat_map(|token| (0..top_k).map(move |choice| (token, choice)))
            .collect();
        // Rows of one expert after the other; the sort is stable, so that tokens stay in order.
        rows.sort_by_key(|&(token, choice)| chosen[token][choice].0);
        Ok(Self { experts, chosen, rows })
    }

    pub fn groups(&self) -> Groups {
        let mut rows_of = vec![0; self.experts];
        for &(expert, _) in self.chosen.iter().flatten() {
            rows_of[expert] += 1;
        }
        Groups::new(&rows_of)
    }

    /// Tokens `[T, hidden]` to packed rows `[T * top_k, hidden]`.
    pub fn permuted(&self, x: &[bf16], hidden: usize) -> Vec<bf16> {
        self.rows.iter().flat_map(|&(token, _)| &x[token * hidden..][..hidden]).copied().collect()
    }

    /// Packed rows to tokens: the weighted sum of each token's rows, in f32.
    pub fn combined(&self, rows: &[bf16], hidden: usize) -> Vec<bf16> {
        let mut tokens = vec![0f32; self.chosen.len() * hidden];
        for (row, &(token, choice)) in rows.chunks(hidden).zip(&self.rows) {
            let weight = self.chosen[token][choice].1 as f32;
            for (sum, x) in tokens[token * hidden..][..hidden].iter_mut().zip(row) {
                *sum += weight * x.to_f32();
            }
        }
        tokens.into_iter().map(bf16::from_f32).collect()
    }
}

/// The experts of one token, the best first.
fn choices(x: &[bf16], gate: &[bf16], hidden: usize, top_k: usize) -> Vec<(usize, f64)> {
    let score = |gate: &[bf16]| x.iter().zip(gate).map(|(x, g)| x.to_f64() * g.to_f64()).sum();
    let mut scores: Vec<(usize, f64)> = gate.chunks(hidden).map(score).enumerate().collect();
    scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    scores.truncate(top_k);
    // What all experts share of a softmax falls out when the kept ones are made to sum to one.
    let best = scores[0].1;
    let sum: f64 = scores.iter().map(|(_, score)| (score - best).exp()).sum();
    scores.into_iter().map(|(expert, score)| (expert, (score - best).exp() / sum)).collect()
}
