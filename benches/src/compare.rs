//! Two records, case by case: what became faster and what slower.

use crate::names::{Band, Name, geometric_mean};
use crate::record::{CaseRecord, Record};
use crate::table::table;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A case that both records hold.
struct Pair<'a> {
    old: &'a CaseRecord,
    new: &'a CaseRecord,
}

impl Pair<'_> {
    /// The new time over the old one: above 1 is slower.
    fn ratio(&self) -> f64 {
        self.new.us / self.old.us
    }
}

/// What two records have in common, the slowest first.
pub struct Comparison<'a> {
    old: &'a Record,
    new: &'a Record,
    pairs: Vec<Pair<'a>>,
}

impl<'a> Comparison<'a> {
    /// Pairs the cases of two records.
    ///
    /// # Errors
    /// If no case is in both.
    pub fn new(old: &'a Record, new: &'a Record) -> Result<Self> {
        let of_old: BTreeMap<_, _> = old.cases.iter().map(|case| (case.key(), case)).collect();
        let mut pairs: Vec<Pair> = new
            .cases
            .iter()
            .filter_map(|new| Some(Pair { old: of_old.get(&new.key())?, new }))
            .collect();
        ensure!(!pairs.is_empty(), "the two records have no case in common");
        pairs.sort_by(|p, q| q.ratio().total_cmp(&p.ratio()));
        Ok(Self { old, new, pairs })
    }

    /// The report: every case, then the bands.
    pub fn report(&self) -> String {
        let (old, new) = (&self.old.meta, &self.new.meta);
        let mut out = format!("old  {}\nnew  {}\n", old.title(), new.title());
        if (&old.gpu, &old.driver, old.watts) != (&new.gpu, &new.driver, new.watts) {
            out += "The machines differ: GPU, driver or power limit. Ratios say little about the code.\n";
        }
        out += "\n";
        let rows: Vec<Vec<String>> = self
            .pairs
            .iter()
            .map(|pair| {
                let (old, new) = (pair.old.us, pair.new.us);
                let ratio = format!("{:.3}", pair.ratio());
                vec![pair.new.title(), format!("{old:.1}"), format!("{new:.1}"), ratio]
            })
            .collect();
        out += &table(&["case", "old us", "new us", "new / old"], &rows);

        let mut bands: BTreeMap<(&str, Band), Vec<f64>> = BTreeMap::new();
        for pair in &self.pairs {
            if let Some(name) = Name::parse(&pair.new.case) {
                bands.entry((&pair.new.op, name.band())).or_default().push(pair.ratio());
            }
        }
        let rows: Vec<Vec<String>> = bands
            .into_iter()
            .map(|((op, band), ratios)| {
                let count = ratios.len().to_string();
                let mean = geometric_mean(ratios).unwrap_or(f64::NAN);
                vec![op.to_owned(), band.to_string(), count, format!("{mean:.3}")]
            })
            .collect();
        out += "\n";
        out += &table(&["geometric means of new / old", "band", "cases", "ratio"], &rows);
        let alone = |record: &Record| record.cases.len() - self.pairs.len();
        let (only_old, only_new) = (alone(self.old), alone(self.new));
        if only_old + only_new > 0 {
            // Writing to a string does not fail.
            let _ = writeln!(out, "\nnot compared: {only_old} cases of old, {only_new} of new");
        }
        out
    }

    /// Fails if a case became slower by more than `tolerance` percent, and names all that did.
    ///
    /// # Errors
    /// As above.
    pub fn judge(&self, tolerance: f64) -> Result<()> {
        let slower: Vec<String> = self
            .pairs
            .iter()
            .filter(|pair| pair.ratio() > 1.0 + tolerance / 100.0)
            .map(|pair| format!("{} (+{:.1} %)", pair.new.title(), (pair.ratio() - 1.0) * 100.0))
            .collect();
        ensure!(
            slower.is_empty(),
            "{} of {} cases are more than {tolerance} % slower: {}",
            slower.len(),
            self.pairs.len(),
            slower.join(", ")
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(times: &[(&str, f64)]) -> Record {
        let case = |&(case, us): &(&str, f64)| CaseRecord {
            op: "op".to_owned(),
            case: case.to_owned(),
            us,
            ..CaseRecord::default()
        };
        Record { cases: times.iter().map(case).collect(), ..Record::default() }
    }

    #[test]
    fn the_slowest_comes_first_and_fails_the_comparison() {
        let old = record(&[("a/E8/M8/balanced", 100.0), ("b/E8/M8/balanced", 100.0)]);
        let new = record(&[("a/E8/M8/balanced", 80.0), ("b/E8/M8/balanced", 104.0)]);
        let both = Comparison::new(&old, &new).unwrap();
        let report = both.report();
        assert!(report.find("b/E8").unwrap() < report.find("a/E8").unwrap(), "{report}");
        // The root of 0.8 * 1.04.
        assert!(report.contains("0.912"), "{report}");
        let error = both.judge(3.0).unwrap_err().to_string();
        assert!(error.starts_with("1 of 2 cases are more than 3 % slower: "), "{error}");
        assert!(error.contains("b/E8/M8/balanced (+4.0 %)") && !error.contains("a/E8"), "{error}");
        both.judge(5.0).unwrap();
    }

    #[test]
    fn only_what_both_hold_is_compared() {
        let old = record(&[("a/E8/M8/balanced", 1.0), ("b/E8/M8/balanced", 1.0)]);
        let new = record(&[("b/E8/M8/balanced", 1.0), ("c/E8/M8/balanced", 9.0)]);
        let report = Comparison::new(&old, &new).unwrap().report();
        assert!(report.contains("not compared: 1 cases of old, 1 of new"), "{report}");
        assert!(Comparison::new(&old, &record(&[])).is_err());
    }

    #[test]
    fn records_of_two_machines_are_called_so() {
        let old = record(&[("a/E8/M8/balanced", 1.0)]);
        let mut new = old.clone();
        assert!(!Comparison::new(&old, &new).unwrap().report().contains("machines differ"));
        new.meta.watts = Some(600.0);
        assert!(Comparison::new(&old, &new).unwrap().report().contains("machines differ"));
    }
}
