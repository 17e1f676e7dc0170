//! What was taken from a file of weights.

use std::fmt;
use std::path::PathBuf;

/// Names that [`Loaded`] shows in words.
const SHOWN: usize = 3;

/// The formats of weight files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// safetensors
    Safetensors,
    /// PyTorch's `torch.save`.
    Pytorch,
}

/// Which tensors of a file an encoder has. None of the encoder's can be missing: that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: FileFormat,
    /// Number of tensors loaded: all of the encoder.
    pub tensors: usize,
    /// Names of the tensors in the file that were left out, sorted: classifiers, projectors, other networks, batch counters.
    pub left_out: Vec<String>,
    /// Patches on each side that the position embedding of the file is for, and those that it was resized to.
    pub resized: Option<[usize; 2]>,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Pytorch => "PyTorch",
        })
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, format, tensors, left_out, resized } = self;
        write!(f, "all {tensors} tensors of the encoder from {} ({format}), ", path.display())?;
        let (counters, others): (Vec<_>, Vec<_>) =
            left_out.iter().partition(|name| name.ends_with("num_batches_tracked"));
        let mut parts: Vec<String> = others.iter().take(SHOWN).map(|name| (*name).clone()).collect();
        if others.len() > SHOWN {
            parts.push(format!("{} more", others.len() - SHOWN));
        }
        if !counters.is_empty() {
            parts.push(format!("{} batch counters", counters.len()));
        }
        match parts.is_empty() {
            true => f.write_str("nothing left out")?,
            false => write!(f, "left out: {}", parts.join(", "))?,
        }
        match resized {
            Some([from, to]) => write!(f, "; positions resized from {from} x {from} patches to {to} x {to}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_loaded_and_what_was_left_out() {
        let said = |left_out: &[&str]| {
            let left_out = left_out.iter().map(|name| (*name).to_owned()).collect();
            Loaded {
                path: "a.pth".into(),
                format: FileFormat::Pytorch,
                tensors: 102,
                left_out,
                resized: None,
            }
            .to_string()
        };
        assert_eq!(said(&[]), "all 102 tensors of the encoder from a.pth (PyTorch), nothing left out");
        let others =
            ["bn1.num_batches_tracked", "fc.bias", "fc.weight", "k.conv1.weight", "queue", "queue_ptr"];
        assert!(
            said(&others).ends_with("left out: fc.bias, fc.weight, k.conv1.weight, 2 more, 1 batch counters"),
            "{}",
            said(&others)
        );
    }
}
