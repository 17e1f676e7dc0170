//! The results in float64: Burn's generic operations on `flex`.
//!
//! A process has one precision per device, so a second process computes them and writes files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use burn::tensor::{DType, TensorData};
use burn_ssl::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

use crate::inputs::Inputs;
use crate::record::Record;
use crate::{Case, Part};

/// The option that makes the program such a process, with a folder after it.
pub(crate) const OPTION: &str = "--float64";

/// Computes cases in float64 and writes them to a folder.
pub(crate) fn compute(cases: &[Case], folder: &Path) -> Result<()> {
    let device = DeviceSpec::Flex.open_float64()?;
    for case in cases {
        let bytes = encode(&(case.run)(&Inputs::plain(&device)))?;
        fs::write(file(folder, case), bytes)?;
    }
    Ok(())
}

/// Results in float64 that another process computed.
pub(crate) struct Exact(TempDir);

/// Starts this program again to compute a part of the cases whose name has `only`, and waits for it.
pub(crate) fn in_another_process(only: &str, part: Part) -> Result<Exact> {
    let folder = tempfile::tempdir()?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.arg(OPTION).arg(folder.path()).args(["--only", only, "--part", &part.to_string()]);
    let status = command.status()?;
    ensure!(status.success(), "the process that computes in float64 ended with {status}, expected results");
    Ok(Exact(folder))
}

impl Exact {
    /// The results of a case.
    pub(crate) fn read(&self, case: &Case) -> Result<Record> {
        let path = file(self.0.path(), case);
        let bytes = fs::read(&path).with_context(|| format!("no results of '{}' in float64", case.name))?;
        decode(&bytes)
    }
}

fn file(folder: &Path, case: &Case) -> PathBuf {
    folder.join(format!("{}.safetensors", case.name))
}

fn encode(record: &Record) -> Result<Vec<u8>> {
    let views = record.iter().map(|(path, data)| {
        let dtype = if data.dtype() == DType::I64 { Dtype::I64 } else { Dtype::F64 };
        Ok((path.as_str(), TensorView::new(dtype, data.shape().to_vec(), data.as_bytes())?))
    });
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}

fn decode(bytes: &[u8]) -> Result<Record> {
    let file = SafeTensors::deserialize(bytes)?;
    let tensors = file.iter().map(|(path, view)| {
        let dtype = if view.dtype() == Dtype::I64 { DType::I64 } else { DType::F64 };
        (path.to_owned(), TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype))
    });
    Ok(tensors.collect())
}
