//! The `burn-ssl` tool.
fn main() {}
