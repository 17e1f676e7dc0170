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
    /// Who wrote it, such as `MoCo`, as far as its names tell.
    pub source: Option<&'static str>,
    /// What the names of the encoder start with in the file, such as `state_dict.module.encoder_q.`; often empty.
    pub prefix: String,
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
        let Self { path, tensors, left_out, resized, .. } = self;
        write!(f, "all {tensors} tensors of the encoder from {} ({}), ", path.display(), self.origin())?;
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

impl Loaded {
    /// Format, source and prefix.
    fn origin(&self) -> String {
        let source = self.source.map(|source| format!("of {source}"));
        let prefix = (!self.prefix.is_empty()).then(|| format!("under '{}'", self.prefix));
        [Some(self.format.to_string()), source, prefix].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_wrote_the_file_and_where_the_encoder_is_in_it() {
        let loaded = |source, prefix: &str| Loaded {
            path: "a.pth".into(),
            format: FileFormat::Pytorch,
            source,
            prefix: prefix.to_owned(),
            tensors: 2,
            left_out: Vec::new(),
            resized: None,
        };
        let said = loaded(Some("MoCo"), "module.encoder_q.").to_string();
        let origin = "a.pth (PyTorch, of MoCo, under 'module.encoder_q.'), nothing left out";
        assert_eq!(said, format!("all 2 tensors of the encoder from {origin}"));
        assert!(loaded(None, "").to_string().contains("a.pth (PyTorch), "));
    }

    #[test]
    fn a_line_says_what_was_loaded_and_what_was_left_out() {
        let said = |left_out: &[&str]| {
            let left_out = left_out.iter().map(|name| (*name).to_owned()).collect();
            Loaded {
                path: "a.pth".into(),
                format: FileFormat::Pytorch,
                source: None,
                prefix: String::new(),
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
