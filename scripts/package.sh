#!/usr/bin/env bash
# Packages goka-macros and goka as for crates.io, and runs the tests of the unpacked packages: nothing in a package may
# need a file that only the repository has. Needs no network if all dependencies are downloaded already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
crates=(goka-macros goka)

# goka-macros is not published. In one command with both packages, cargo lets goka find it among the packages.
cargo package --locked --no-verify "${@:---offline}" -p goka-macros -p goka

# The directory is always the same, so that the paths that are compiled into tests stay valid. Unpacked files get the
# present time: in a package, all files have one fixed time, so cargo would not notice that they have changed.
unpacked=$target/package/unpacked
rm -rf "$unpacked"
mkdir -p "$unpacked"
for crate in "${crates[@]}"; do
  package=$target/package/$crate-$version.crate
  tar -xzmf "$package" -C "$unpacked"
  for file in README.md LICENSE-APACHE LICENSE-MIT; do
    [ -s "$unpacked/$crate-$version/$file" ] || { echo "$package has no $file" >&2 && exit 1; }
  done
done

# A workspace of the two packages. It has the repository's versions and profiles, so that their dependencies are not
# compiled again.
{
  printf '[workspace]\nresolver = "3"\nmembers = ["goka-macros-%s", "goka-%s"]\n' "$version" "$version"
  printf '[patch.crates-io]\ngoka-macros = { path = "goka-macros-%s" }\n' "$version"
  sed -n '/^\[profile/,$p' Cargo.toml
} >"$unpacked/Cargo.toml"
cp Cargo.lock rust-toolchain.toml "$unpacked"
cd "$unpacked"
CARGO_TARGET_DIR=$target cargo test --offline --features goka/tester
