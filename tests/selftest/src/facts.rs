//! All facts, in the order in which they are asked: what stands alone first, what needs everything last.

use crate::fact::Fact;
use crate::{blackwell, hopper, kernels};

/// All facts.
pub fn all() -> Vec<Fact> {
    let lists: [&[Fact]; 7] = [
        &hopper::FACTS,
        &blackwell::layout::FACTS,
        &blackwell::scales::FACTS,
        &blackwell::arithmetic::FACTS,
        &blackwell::order::FACTS,
        &blackwell::pairs::FACTS,
        &kernels::FACTS,
    ];
    lists.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let facts = all();
        let names: BTreeSet<&str> = facts.iter().map(|fact| fact.id).collect();
        assert_eq!(names.len(), facts.len());
    }
}
