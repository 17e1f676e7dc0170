//! Compiles the bridge to libtorch's c10d (feature `c10d`).

fn main() {
    println!("cargo:rerun-if-changed=native");
}
