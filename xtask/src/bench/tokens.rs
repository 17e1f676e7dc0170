//! What depends on the number of tokens: attention, and an encoder that sees some patches only.

use anyhow::Result;
use clap::Args;

use super::program::arguments;
use super::rounds::{Contest, Rounds};
use super::{Common, Figures};

/// Options of `bench tokens`.
#[derive(Args)]
pub(crate) struct TokensBench {
    #[command(flatten)]
    pub(super) common: Common,
    /// Tokens of an image in attention.
    #[arg(long, value_delimiter = ',', default_value = "1000,2000,4000,8000")]
    lengths: Vec<usize>,
    /// Patches that the encoder sees, of 196.
    #[arg(long, value_delimiter = ',', default_value = "196,49")]
    kept: Vec<usize>,
    /// Images of the encoder.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Our devices; builds their backends.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    devices: Vec<String>,
}

impl TokensBench {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let rounds = Rounds::new(&self.common, "tokens_time", &self.devices, &[])?;
        let attention = self.lengths.iter().map(|&tokens| Work::Attention { tokens });
        let encoder = self.kept.iter().map(|&kept| Work::Encoder { kept, batch: self.batch });
        attention.chain(encoder).map(|work| rounds.compare(&work)).collect()
    }
}

/// What is timed.
#[derive(Clone, Copy)]
enum Work {
    Attention { tokens: usize },
    Encoder { kept: usize, batch: usize },
}

impl Contest for Work {
    fn words(&self) -> String {
        match self {
            Self::Attention { tokens } => {
                format!("attention of {tokens} tokens, 3 heads of 64, forward and backward")
            }
            Self::Encoder { kept, batch } => {
                format!("vit-tiny, {kept} of 196 patches, batch {batch}, forward and backward")
            }
        }
    }

    fn per_run(&self) -> usize {
        match self {
            Self::Attention { .. } => 1,
            Self::Encoder { batch, .. } => *batch,
        }
    }

    fn rivals<'a>(&self, _asked: &[&'a str]) -> Vec<&'a str> {
        Vec::new()
    }

    fn of_ours(&self, device: &str) -> Vec<String> {
        match self {
            Self::Attention { tokens } => arguments(&[("tokens", tokens), ("device", &device)]),
            Self::Encoder { kept, batch } => {
                arguments(&[("kept", kept), ("batch", batch), ("device", &device)])
            }
        }
    }

    fn of_theirs(&self, _variant: &str) -> (&'static str, Vec<String>) {
        unreachable!("there are no rivals")
    }
}
