//! What an example does where no GPU has its kernel.

use std::fmt::Display;

/// Says that the CPU takes over, and why; or refuses, with `REQUIRE_GPU=1` in the environment.
pub fn to_cpu(reason: &dyn Display) -> Result<(), String> {
    if std::env::var_os("REQUIRE_GPU").is_some_and(|value| value == "1") {
        return Err(format!("REQUIRE_GPU=1, but {reason}"));
    }
    println!("on the CPU: {reason}");
    Ok(())
}
