#!/usr/bin/env bash
# Runs the unsafe code that Miri can run, see "Unsafe code" in docs/reliability.md. Needs a nightly toolchain with Miri:
# rustup component add miri rust-src --toolchain nightly. Takes minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
built=${CARGO_TARGET_DIR:-$PWD/target}/miri
miri=(cargo +nightly miri test --quiet)

# Views, batches and the threads that make them. Files and processes are outside of Miri's world.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows"
CARGO_TARGET_DIR=$built "${miri[@]}" --package ssl-data --lib -- ops::color ops::normalize loader::pipeline
# What crossbeam, under rayon, has still to free when the process ends is no leak of ours.
MIRIFLAGS="$MIRIFLAGS -Zmiri-ignore-leaks" CARGO_TARGET_DIR=$built "${miri[@]}" --package ssl-data --test loader -- every_row left_out

# The vectors of our convolutions and the matrices of our products, in a crate without Burn. Miri knows AVX2, and not AVX-512.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/src/ops/cpu"
cp -r crates/ssl-kernels/src/ops/cpu/{simd,simd.rs,pool,pool.rs,matrix.rs} "$copy/src/ops/cpu/"
cat >"$copy/Cargo.toml" <<'TOML'
[package]
name = "vectors"
edition = "2024"
[features]
default = ["flex"]
flex = []
[workspace]
TOML
echo '#![allow(dead_code)] mod ops;' >"$copy/src/lib.rs"
echo 'mod cpu;' >"$copy/src/ops.rs"
echo 'mod matrix; mod pool; mod simd;' >"$copy/src/ops/cpu.rs"
cd "$copy"
# Slabs of the arena stay for ever.
export MIRIFLAGS="$MIRIFLAGS -Zmiri-ignore-leaks"
RUSTFLAGS="-Ctarget-feature=+avx2,+fma" CARGO_TARGET_DIR=$built/vectors "${miri[@]}"
