//! What the name of a case says: `<projection>/E<experts>/M<mean rows>/<distribution>`, of the quantiser between
//! `quant/` and `/K<k>`.

use std::fmt;

/// The parts of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name<'a> {
    /// Whose weights or activations: `dsv3_gateup`.
    pub projection: &'a str,
    /// Number of experts.
    pub experts: u32,
    /// Mean rows per expert.
    pub mean_rows: u32,
    /// How the rows are shared out: `balanced`.
    pub distribution: &'a str,
}

impl<'a> Name<'a> {
    /// Reads a name; `None` if it is none of a case.
    pub fn parse(name: &'a str) -> Option<Self> {
        let name = match name.strip_prefix("quant/") {
            Some(rest) => rest.rsplit_once("/K")?.0,
            None => name,
        };
        let mut parts = name.split('/');
        let projection = parts.next()?;
        let experts = parts.next()?.strip_prefix('E')?.parse().ok()?;
        let mean_rows = parts.next()?.strip_prefix('M')?.parse().ok()?;
        let distribution = parts.next()?;
        let name = Self { projection, experts, mean_rows, distribution };
        parts.next().is_none().then_some(name)
    }

    /// The band that the case belongs to.
    pub fn band(&self) -> Band {
        let rows = match self.mean_rows {
            0..=16 => Rows::Few,
            17..=64 => Rows::Some,
            65..=256 => Rows::Many,
            _ => Rows::Most,
        };
        Band { rows, distribution: self.distribution.to_owned() }
    }
}

/// Mean rows per expert, in bands within which kernels behave alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rows {
    /// At most 16: decode.
    Few,
    /// 17 to 64.
    Some,
    /// 65 to 256.
    Many,
    /// More: prefill.
    Most,
}

impl Rows {
    /// All, ascending.
    pub const ALL: [Self; 4] = [Self::Few, Self::Some, Self::Many, Self::Most];
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Few => "m <= 16",
            Self::Some => "m 17-64",
            Self::Many => "m 65-256",
            Self::Most => "m > 256",
        })
    }
}

/// Cases that are summed up together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Band {
    /// Mean rows per expert.
    pub rows: Rows,
    /// How they are shared out.
    pub distribution: String,
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}, {}", self.rows, self.distribution))
    }
}

/// The geometric mean; `None` of nothing.
pub fn geometric_mean(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = numbers
        .into_iter()
        .fold((0.0, 0usize), |(sum, count), number| (sum + number.ln(), count + 1));
    (count > 0).then(|| (sum / count as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{Set, quant_name};

    #[test]
    fn names_of_cases_are_read() {
        let name = Name::parse("quant/dsv3_gateup/E32/M8/zipf1.5/K7168").unwrap();
        let (experts, mean_rows, distribution) = (32, 8, "zipf1.5");
        assert_eq!(name, Name { projection: "dsv3_gateup", experts, mean_rows, distribution });
        assert_eq!(name.band().to_string(), "m <= 16, zipf1.5");
        for other in ["", "dsv3/E32/M8", "dsv3/M8/E32/zipf", "dsv3/E32/M8/zipf/K7168", "quant/x"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn every_case_has_a_name_that_is_read() {
        for set in [Set::Peers, Set::Between, Set::Matrix] {
            for (group, cases) in set.groups() {
                for case in cases {
                    for text in [case.to_string(), quant_name(&case)] {
                        let name = Name::parse(&text).unwrap();
                        assert_eq!(name.projection, group.projection.to_string());
                        assert_eq!(name.experts as usize, group.experts);
                        assert_eq!(name.mean_rows, case.mean_rows);
                        assert_eq!(name.distribution, case.distribution.name());
                    }
                }
            }
        }
    }

    #[test]
    fn the_mean_is_geometric() {
        assert!((geometric_mean([1.0, 4.0]).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(geometric_mean([]), None);
    }
}
