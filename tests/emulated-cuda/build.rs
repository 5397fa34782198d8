//! Gives the library the driver's name, so that a program linked against it also runs with the real driver.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
}
