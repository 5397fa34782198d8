//! Which kernel serves, and with how many blocks.

use crate::abi::{Arch, Variant};
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::ops::Operation;
use std::cmp::Reverse;

/// Why a kernel cannot serve a problem on a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// It reads another element type.
    Input,
    /// It writes another element type.
    Output,
    /// It is built for another GPU family.
    Arch,
    /// It needs more shared memory than the device offers.
    SharedMemory,
    /// It is made for more rows for each expert (see [`Variant::more_rows_than`]).
    FewRows,
    /// It is made for fewer rows for each expert (see [`Variant::up_to_rows`]).
    ManyRows,
}

/// What the planner thinks of one kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It could serve.
    Eligible {
        /// Multiply-adds (for a quantiser: elements) that the device spends on it, padding and idle
        /// multiprocessors included, when the rows are split as badly as they can be; for products, which
        /// have kernels to choose from, when they are split evenly (FP8: or at random, where that makes a difference),
        /// and with what a tile costs beside its rows (see [`Variant::rows_beside`]); a last round of half tiles counts
        /// half. The lowest wins, except that a kernel that is made for so many rows may take an eighth more.
        padded_macs: u128,
    },
    /// It cannot.
    Refused(Refusal),
}

/// One kernel that the planner looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The kernel.
    pub variant: &'static Variant,
    /// What the planner thinks of it.
    pub verdict: Verdict,
}

pub(super) fn candidates<O: Operation>(
    variants: &'static [Variant],
    problem: &O,
    device: &DeviceInfo,
) -> Vec<Candidate> {
    let of_the_operation = variants.iter().filter(|variant| variant.op == O::OP);
    of_the_operation
        .map(|variant| Candidate { variant, verdict: judge(variant, problem, device) })
        .collect()
}

fn judge<O: Operation>(variant: &Variant, problem: &O, device: &DeviceInfo) -> Verdict {
    let [input, output] = problem.elements();
    if variant.input != input {
        return Verdict::Refused(Refusal::Input);
    }
    if variant.output != output {
        return Verdict::Refused(Refusal::Output);
    }
    if !variant.arch.runs_on(device.capability) {
        return Verdict::Refused(Refusal::Arch);
    }
    if u64::from(variant.smem_bytes) > device.smem_optin_bytes {
        return Verdict::Refused(Refusal::SharedMemory);
    }
    if !has_more_rows(problem, variant.more_rows_than) {
        return Verdict::Refused(Refusal::FewRows);
    }
    if variant.up_to_rows < u32::MAX && has_more_rows(problem, variant.up_to_rows) {
        return Verdict::Refused(Refusal::ManyRows);
    }
    let rounds = Rounds::of(variant, problem, device);
    let work = problem.usual_work(variant, rounds);
    let places = u128::from(rounds.places);
    let padded_macs =
        rounds.halves(work.tiles).saturating_mul(places).saturating_mul(work.tile_cost);
    Verdict::Eligible { padded_macs: padded_macs / 2 }
}

/// How many rounds a device takes to compute tiles. An estimate: where it has an odd number of multiprocessors a kernel of clusters
/// fills one less, and with more than 32 experts the kernel may not know that a round is the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rounds {
    /// Tiles of a round, at least one.
    places: u64,
    /// Whether those of a last round that is at most half full are computed as two halves each, and take half as long: measured
    /// where experts have one tile, and not where they have several.
    has_halves: bool,
}

impl Rounds {
    fn of<O: Operation>(variant: &Variant, problem: &O, device: &DeviceInfo) -> Self {
        let places = u64::from(places(variant, device).max(1));
        let has_several = has_more_rows(problem, variant.tile[0]);
        Self { places, has_halves: variant.has_half_tiles() && !has_several }
    }

    /// Half rounds that so many tiles take.
    fn halves(self, tiles: u64) -> u128 {
        let (whole, last) = (tiles / self.places, tiles % self.places);
        // Half tiles that leave most multiprocessors idle wait for memory's latency: measured behind one whole round.
        let fills_enough = whole > Self::FEW || 4 * last > self.places;
        let halved = self.has_halves && whole > 0 && 2 * last <= self.places && fills_enough;
        let of_the_last = match last {
            0 => 0,
            _ if halved => 1,
            _ => 2,
        };
        2 * u128::from(whole) + of_the_last
    }

    /// Whole rounds that are few, so that the last one counts.
    const FEW: u64 = 2;

    /// Whether a few rounds end with one of halves.
    pub(crate) fn end_with_halves(self, tiles: u64) -> bool {
        tiles / self.places <= Self::FEW && !self.halves(tiles).is_multiple_of(2)
    }
}

/// Whether the experts of a problem have more rows than this on average, or may have: a problem says the most rows
/// that there can be. 0 asks for nothing.
fn has_more_rows<O: Operation>(problem: &O, than: u32) -> bool {
    let [rows, experts] = problem.rows_and_experts().map(u128::from);
    than == 0 || rows > experts * u128::from(than)
}

/// Blocks that the device holds at once.
fn places(variant: &Variant, device: &DeviceInfo) -> u32 {
    device.sm_count.saturating_mul(variant.ctas_per_sm.max(1))
}

/// Most blocks of a grid.
const MAX_GRID: u32 = i32::MAX as u32;

/// As many clusters as there can be work for and, if they are to stay, as fit the multiprocessors.
pub(super) fn grid<O: Operation>(variant: &Variant, problem: &O, device: &DeviceInfo) -> u32 {
    if problem.is_empty() {
        return 0;
    }
    let cluster = variant.cluster.max(1);
    let most = if O::PERSISTENT { places(variant, device) } else { MAX_GRID };
    let room = u64::from((most / cluster).max(1));
    problem.most_work(variant).clusters.clamp(1, room) as u32 * cluster
}

pub(super) fn choose<O: Operation>(
    candidates: &[Candidate],
    problem: &O,
    device: &DeviceInfo,
) -> Result<&'static Variant> {
    let eligible = || {
        candidates.iter().filter_map(|candidate| match candidate.verdict {
            Verdict::Eligible { padded_macs } => Some((padded_macs, candidate.variant)),
            Verdict::Refused(_) => None,
        })
    };
    // A kernel that is made for so many rows reads less for each product. On Blackwell that is worth an eighth of the time
    // (derived, not measured), but not multiprocessors that its larger tiles leave idle.
    let least = eligible().map(|(padded_macs, _)| padded_macs).min().unwrap_or(0);
    let best = eligible()
        .filter(|(padded_macs, _)| *padded_macs <= least.saturating_add(least / 8))
        .min_by_key(|(padded_macs, variant)| (Reverse(variant.more_rows_than), *padded_macs));
    if let Some((_, variant)) = best {
        return Ok(variant);
    }
    let short = candidates.iter().find(|c| c.verdict == Verdict::Refused(Refusal::SharedMemory));
    if let Some(Candidate { variant, .. }) = short {
        return Err(Error::SharedMemory {
            symbol: variant.symbol,
            needed_bytes: u64::from(variant.smem_bytes),
            available_bytes: device.smem_optin_bytes,
        });
    }
    Err(Error::UnsupportedDevice {
        op: O::NAME,
        needs: needs(candidates, problem),
        capability: device.capability,
        name: device.name.clone(),
    })
}

/// The GPU families whose kernels would serve, in words.
fn needs<O: Operation>(candidates: &[Candidate], problem: &O) -> String {
    let mut families: Vec<Arch> = Vec::new();
    for candidate in candidates {
        let arch = candidate.variant.arch;
        if candidate.verdict == Verdict::Refused(Refusal::Arch) && !families.contains(&arch) {
            families.push(arch);
        }
    }
    if families.is_empty() {
        let [input, output] = problem.elements().map(crate::ElementType::name);
        return format!("a kernel from {input} to {output}, which this build does not have");
    }
    let families = families.into_iter().map(|arch| {
        format!("{} (compute capability {})", arch.name(), capabilities(arch).join(" or "))
    });
    families.collect::<Vec<_>>().join(" or ")
}

/// Every compute capability of a family.
fn capabilities(arch: Arch) -> Vec<String> {
    // Far beyond the capabilities that exist: the family itself says which are its own.
    let all = (0..32).flat_map(|major| (0..16).map(move |minor| (major, minor)));
    all.filter(|&capability| arch.runs_on(capability))
        .map(|(major, minor)| format!("{major}.{minor}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Rounds;

    #[test]
    fn a_last_round_that_is_at_most_half_full_is_half_a_round() {
        let rounds = Rounds { places: 132, has_halves: true };
        for (tiles, halves) in [
            (0, 0),
            // Less than a round is a whole one.
            (66, 2),
            (132, 2),
            // Behind one or two, if it is more than a quarter full.
            (132 + 1, 4),
            (132 + 33, 4),
            (132 + 34, 3),
            (132 + 66, 3),
            (132 + 67, 4),
            (2 * 132 + 33, 6),
            (2 * 132 + 34, 5),
            (3 * 132 + 1, 7),
            (3 * 132 + 66, 7),
            (3 * 132 + 67, 8),
        ] {
            assert_eq!(rounds.halves(tiles), halves, "{tiles} tiles");
            let few = !halves.is_multiple_of(2) && tiles < 3 * 132;
            assert_eq!(rounds.end_with_halves(tiles), few, "{tiles} tiles");
            let whole = Rounds { has_halves: false, ..rounds };
            assert_eq!(whole.halves(tiles), u128::from(2 * tiles.div_ceil(132)), "{tiles} tiles");
        }
    }
}
