//! Scalar arithmetic: [`float`] and [`integer`].

pub mod float;
pub mod integer;

#[cfg(test)]
mod tests;
