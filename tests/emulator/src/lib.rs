//! Executes PTX on the CPU and judges it more strictly than a GPU would.

pub mod semantics;
