//! The header is what the sources say. To write it anew: `EXPERT_GEMM_BLESS=1 cargo test -p expert-gemm-capi --test header`.

use cbindgen::{Builder, Config};
use std::path::Path;

/// Every file with a function or a type of the interface, in the order of the header.
const SOURCES: [&str; 10] = [
    "version.rs",
    "status.rs",
    "device.rs",
    "buffer.rs",
    "tensor.rs",
    "plan.rs",
    "ops/fp8_grouped_mm.rs",
    "ops/mxfp8_grouped_mm.rs",
    "ops/mxfp8_grouped_quant.rs",
    "scales.rs",
];

#[test]
fn the_header_is_what_the_sources_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::from_file(folder.join("cbindgen.toml")).expect("a configuration");
    let builder = SOURCES.iter().fold(Builder::new().with_config(config), |builder, source| {
        builder.with_src(folder.join("src").join(source))
    });
    let mut made = Vec::new();
    builder.generate().expect("sources that cbindgen reads").write(&mut made);
    let made = String::from_utf8(made).expect("UTF-8");
    let path = folder.join("include/expert_gemm.h");
    if std::env::var_os("EXPERT_GEMM_BLESS").is_some() {
        std::fs::write(&path, &made).expect("a header that can be written");
    }
    let kept = std::fs::read_to_string(&path).expect("the header");
    let different = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert_eq!(different, None, "the header is stale: bless it, as this file says");
    assert_eq!(made, kept, "the header is stale: bless it, as this file says");
}
