#!/usr/bin/env bash
# Builds the release binary, packs it with its licences, completions and man pages, beside a checksum, and unpacks it to see that
# it runs. In the profile `dist` and without features, it may have 28 MB.
#
#   xtask/release/archive.sh OUT [CARGO-OPTION...]     such as: xtask/release/archive.sh dist --features=wgpu
#
# TARGET names another target than the host's, which has to be able to run its programs. On Windows it writes a .zip. Options have
# their value behind a `=`; the profile is `dist` unless `--profile=NAME` is among them.
set -euo pipefail
[[ $# -ge 1 ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
folder=burn-ssl-$version-$target
profile=dist
# The features of a program are part of its name, apart from those of the default one.
for option; do
  case $option in
    --features=*) folder+=-${option#--features=} ;;
    --profile=*) profile=${option#--profile=} ;;
    *=*) ;;
    *) echo "found the option $option, expected its value behind a '=', such as --features=wgpu" >&2; exit 2 ;;
  esac
done
folder=${folder//,/-}
[[ " $* " == *" --profile="* ]] || set -- --profile=dist "$@"

# A folder of the target's own only where it was asked for: otherwise, what other builds have made serves this one, too.
built=${CARGO_TARGET_DIR:-target}
if [[ -n ${TARGET:-} ]]; then
  built+=/$target
  set -- --target="$target" "$@"
fi
cargo build --locked -p ssl-cli --bin burn-ssl "$@"
program=$built/${profile/#dev/debug}/burn-ssl
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

# What users get, and where `cargo binstall` looks for the program.
mkdir "$work/unpacked"
if [[ $archive == *.zip ]]; then python3 -m zipfile -e "$archive" "$work/unpacked"; else tar -C "$work/unpacked" -xzf "$archive"; fi
unpacked=$work/unpacked/$folder
found=$("$unpacked/$(basename "$program")" --version)
[[ $found == "burn-ssl $version" ]] || { echo "the program in $archive is $found, expected burn-ssl $version" >&2; exit 1; }
for file in LICENSE-MIT NOTICE README.md completions/burn-ssl.bash man/burn-ssl.1; do
  [[ -s $unpacked/$file ]] || { echo "$archive lacks $file" >&2; exit 1; }
done
bytes=$(($(wc -c <"$unpacked/$(basename "$program")")))
echo "$out/$archive: $bytes bytes of program"
# What a release of the default build may have: 28 MB.
most=28000000
if [[ $profile == dist && $folder == "burn-ssl-$version-$target" ]] && ((bytes > most)); then
  echo "the program of $archive has $bytes bytes, expected at most $most: find out what has grown with cargo bloat" >&2
  exit 1
fi
