#!/bin/sh
# The compiler of the workspace's crates (RUSTC_WORKSPACE_WRAPPER), with the counters that libFuzzer searches by. Burn stays as
# it is. Build scripts run on their own, without libFuzzer.
case " $* " in
*" --crate-name build_script_"*) exec "$@" ;;
esac
exec "$@" -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions \
  -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
