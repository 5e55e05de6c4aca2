#!/usr/bin/env bash
# Packages goka-macros and goka as for crates.io, and runs the tests of the packages as they are unpacked: nothing in them may
# need a file of the repository. Needs no network if the dependencies are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
crates=(goka-macros goka)

# cargo lets goka find goka-macros, which is not published, among the packages of the same command.
cargo package --locked --no-verify "${@:---offline}" -p goka-macros -p goka

# Always at the same place, where the paths that are compiled into tests stay valid, and with the present time: all files in a
# package have one fixed time, by which cargo would not see that they changed.
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

# A workspace of the two, with the repository's versions and profiles, so that their dependencies are not compiled again.
{
  printf '[workspace]\nresolver = "3"\nmembers = ["goka-macros-%s", "goka-%s"]\n' "$version" "$version"
  printf '[patch.crates-io]\ngoka-macros = { path = "goka-macros-%s" }\n' "$version"
  sed -n '/^\[profile/,$p' Cargo.toml
} >"$unpacked/Cargo.toml"
cp Cargo.lock rust-toolchain.toml "$unpacked"
cd "$unpacked"
CARGO_TARGET_DIR=$target cargo test --offline --features goka/tester
