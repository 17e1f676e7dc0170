#!/usr/bin/env bash
# Builds the wheel that carries the binary, and installs it into a fresh environment to see that it runs.
#
#   xtask/release/wheel.sh OUT [MATURIN-OPTION...]     such as: xtask/release/wheel.sh dist --profile dev
#
# Needs Python with pip. maturin comes from PyPI, and checks that the binary asks for no more than the manylinux of its tag.
set -euo pipefail
[[ $# -ge 1 ]] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/maturin"
bin=bin
[[ -d $work/maturin/Scripts ]] && bin=Scripts # on Windows
"$work/maturin/$bin/pip" install --quiet maturin==1.16.0
"$work/maturin/$bin/maturin" build --out "$work/wheels" "$@"

wheel=$(echo "$work"/wheels/*.whl)
# PyPI refuses other tags.
if [[ $(uname -s) == Linux && $(basename "$wheel") != *-manylinux* ]]; then
  echo "found the wheel $(basename "$wheel"), expected one for manylinux: see above which library the program asks for" >&2
  exit 1
fi
python3 -m venv "$work/fresh"
"$work/fresh/$bin/pip" install --quiet --no-index "$wheel"
version=$("$work/fresh/$bin/burn-ssl" --version)
"$work/fresh/$bin/burn-ssl" devices >/dev/null
(cd "$work" && "fresh/$bin/burn-ssl" recipes demo >/dev/null)
mv "$wheel" "$out/"
echo "$out/$(basename "$wheel"): $version"
