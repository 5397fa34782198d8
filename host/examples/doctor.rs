//! What this machine can run: the report that a service would log at its start.
//!
//! ```text
//! cargo run --release -p expert-gemm --example doctor
//! ```

fn main() {
    println!("{}", expert_gemm::doctor());
}
