//! Asks a GPU, one tile for each, whether what the kernels assume about it is so.
//!
//! | module | holds |
//! | --- | --- |
//! | [`fact`] | what a fact is, and the verdict on what a GPU left |
//! | [`facts`] | all of them, in the order in which they are asked |
//! | [`probe`] | a tile of the tensor-memory probe, and its operands |
//! | [`rule`] | the arithmetic of the block-scaled product, with all that could be otherwise as a parameter |
//! | [`blackwell`] | questions to the probe: layouts, scales, arithmetic, order |
//! | [`hopper`] | the captured programs, run again and compared with what they left on other GPUs |
//! | [`kernels`] | the kernels themselves, on seeded problems and crafted inputs |
//! | [`mod@bench`] | the device that is asked: a GPU, or the emulator |
//! | [`supervise`] | children that ask, so that a fault or a hang costs one fact and not the rest |
//! | [`report`] | what a person sends back |

pub mod bench;
pub mod blackwell;
pub mod fact;
pub mod facts;
pub mod hopper;
pub mod kernels;
pub mod probe;
pub mod report;
pub mod rule;
pub mod supervise;
