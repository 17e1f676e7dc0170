#!/usr/bin/env bash
# Builds the release binary and packs it with its licences, completions and man pages, beside a checksum.
#
#   xtask/release/archive.sh OUT [CARGO-OPTION...]     such as: xtask/release/archive.sh dist --features wgpu
#
# TARGET names another target than the host's, which has to be able to run its programs. On Windows it writes a .zip.
set -euo pipefail
[[ $# -ge 1 ]] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
folder=burn-ssl-$version-$target
# The features of a program are part of its name, apart from those of the default one.
for option; do case $option in --features=*) folder+=-${option#--features=} ;; esac; done
folder=${folder//,/-}

cargo build --locked --profile dist -p ssl-cli --bin burn-ssl --target "$target" "$@"
built=${CARGO_TARGET_DIR:-target}/$target/dist
program=$built/burn-ssl
[[ $target == *windows* ]] && program+=.exe

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/$folder/completions" "$work/$folder/man"
cp "$program" LICENSE-MIT LICENSE-APACHE NOTICE README.md CHANGELOG.md "$work/$folder/"
for shell in bash zsh fish elvish powershell; do
  "$program" completions "$shell" >"$work/$folder/completions/burn-ssl.$shell"
done
"$program" man --out "$work/$folder/man"

if [[ $target == *windows* ]]; then
  archive=$folder.zip
  (cd "$work" && python3 -m zipfile -c "$out/$archive" "$folder")
else
  archive=$folder.tar.gz
  tar -C "$work" --owner=0 --group=0 --sort=name -czf "$out/$archive" "$folder" 2>/dev/null || tar -C "$work" -czf "$out/$archive" "$folder"
fi
cd "$out"
{ sha256sum "$archive" 2>/dev/null || shasum -a 256 "$archive"; } >"$archive.sha256"
echo "$out/$archive: $(wc -c <"$program") bytes of program"
