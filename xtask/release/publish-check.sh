#!/usr/bin/env bash
# Packs every public crate as users get it, and builds it from that: `cargo publish` without the upload. Crates with
# `publish = false` are left out, and are named.
#
#   xtask/release/publish-check.sh [CARGO-OPTION...]     such as: xtask/release/publish-check.sh --allow-dirty
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

private=$(git ls-files -z '*Cargo.toml' | xargs -0 grep -l '^publish = false$' | xargs -n 1 dirname | sort)
echo "private, and left out:" $private
cargo publish --workspace --dry-run --locked "$@"
