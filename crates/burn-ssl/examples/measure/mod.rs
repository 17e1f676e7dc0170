//! What the programs that measure share: options, random tensors, memory, the result.

mod memory;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use burn::tensor::{Device, Tensor, TensorData};

pub(crate) use memory::Memory;

/// The `--option value` pairs of the command line.
pub(crate) struct Options(BTreeMap<String, String>);

impl Options {
    pub(crate) fn from_command_line() -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let mut given = BTreeMap::new();
        for pair in words.chunks(2) {
            match pair {
                [flag, value] if flag.starts_with("--") => given.insert(flag[2..].to_owned(), value.clone()),
                _ => bail!("found '{}', expected pairs of --option value", pair.join(" ")),
            };
        }
        Ok(Self(given))
    }

    pub(crate) fn text(&mut self, name: &str, default: &str) -> String {
        self.0.remove(name).unwrap_or_else(|| default.to_owned())
    }

    pub(crate) fn number(&mut self, name: &str, default: usize) -> Result<usize> {
        let Some(text) = self.0.remove(name) else { return Ok(default) };
        text.parse().with_context(|| format!("--{name} is '{text}', expected a whole number"))
    }

    /// All options have been asked for.
    pub(crate) fn finish(self) -> Result<()> {
        match self.0.keys().next() {
            Some(unknown) => bail!("there is no option --{unknown}"),
            None => Ok(()),
        }
    }
}

/// Values between -1 and 1 without an order, the same for the same seed.
pub(crate) fn random<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let mut state = seed;
    let mut value = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| value()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Prints the result of the program as its last line.
#[allow(clippy::print_stdout)]
pub(crate) fn print(result: &serde_json::Value) {
    println!("{result}");
}
